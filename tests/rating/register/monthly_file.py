"""The register's monthly file as it stands: its first line, and a company's row in it."""

# As the first line of the file has it, the spaces before some names included.
HEAD = (
    "CompanyName, CompanyNumber,RegAddress.CareOf,RegAddress.POBox,RegAddress.AddressLine1, RegAddress.AddressLine2,"
    "RegAddress.PostTown,RegAddress.County,RegAddress.Country,RegAddress.PostCode,CompanyCategory,CompanyStatus,"
    "CountryOfOrigin,DissolutionDate,IncorporationDate,Accounts.AccountRefDay,Accounts.AccountRefMonth,"
    "Accounts.NextDueDate,Accounts.LastMadeUpDate,Accounts.AccountCategory,Returns.NextDueDate,Returns.LastMadeUpDate,"
    "Mortgages.NumMortCharges,Mortgages.NumMortOutstanding,Mortgages.NumMortPartSatisfied,Mortgages.NumMortSatisfied,"
    "SICCode.SicText_1,SICCode.SicText_2,SICCode.SicText_3,SICCode.SicText_4,LimitedPartnerships.NumGenPartners,"
    "LimitedPartnerships.NumLimPartners,URI,"
    + ",".join(f"PreviousName_{n}.CONDATE, PreviousName_{n}.CompanyName" for n in range(1, 11))
    + ",ConfStmtNextDueDate, ConfStmtLastMadeUpDate"
)


def row(name: str, number: str, state: str = "Active", due: str = "30/09/2026", charges: str = "0,0,0,0") -> str:
    """Return the row of a company."""
    return (
        f'"{name}","{number}","","","1 FOUNDRY LANE","","LEEDS","","UNITED KINGDOM","LS1 1AA","Private Limited Company"'
        f',"{state}","United Kingdom","","11/02/2010","31","12","{due}","31/12/2024","MICRO ENTITY","25/02/2026",'
        f'"11/02/2025",{charges},"24510 - Casting of iron","","","","0","0",'
        f'"http://business.data.gov.uk/id/company/{number}"' + ',""' * 22
    )
