"""The edge on Cloudflare: a Python Worker. The only files of the edge that know JavaScript."""
