"""Speed and agreement of the scattering engines, against themselves, closed forms and other packages."""
