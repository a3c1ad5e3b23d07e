"""Files of a region: one Protocol, S3, Azure Blob and local files behind it, and a local spool that stands in for them."""
