"""Reading accounts by the hundred thousand: files, folders and the registry's bulk ZIPs."""
