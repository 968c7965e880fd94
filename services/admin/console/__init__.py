"""Layout, forms and addresses that all pages of the console share."""
