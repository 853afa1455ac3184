"""``edtwin refine --data``: measured data without a twin."""
