"""Take in data that this package did not record, as bags like those it records."""
