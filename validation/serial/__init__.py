"""Serial series: stills of many particles, beside the study."""
