"""Dynamic resource allocation: devices as drivers publish them, and as pods claim them."""
