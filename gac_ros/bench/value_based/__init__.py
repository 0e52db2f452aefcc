"""What `gac online` is compared with: value-based methods that learn offline, then online."""
