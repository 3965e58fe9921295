"""LIBERO as a bed: the papers' tasks behind the interface of the embedded one; needs the extra ``libero``."""
