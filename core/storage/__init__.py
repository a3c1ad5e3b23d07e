"""Files of a region: one Protocol; S3, Azure Blob or local files behind it; a local spool that stands in for them."""
