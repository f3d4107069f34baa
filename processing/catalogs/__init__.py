"""Star catalogues: one file each; a new file here adds one."""
