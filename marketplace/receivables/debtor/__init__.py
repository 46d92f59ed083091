"""What debtors are asked, told and answer."""
