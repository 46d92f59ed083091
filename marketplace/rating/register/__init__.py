"""What the companies register says of a party: asked politely, kept with its day, watched for insolvency."""
