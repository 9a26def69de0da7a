"""LMSCNet (Roldão et al., 3DV 2020, arXiv 2008.10559): semantic completion of an occupancy volume."""
