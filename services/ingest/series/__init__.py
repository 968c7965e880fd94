"""From samples to stored series: parsing, catalogue, resampling, storage."""
