"""Numbers only: NumPy, SciPy, Astropy and sep; nothing here knows of rows, files or Django.

Conventions, fixed once:

* Arrays are indexed `[y, x]`, shape `(ny, nx)`, float32 unless said otherwise. Pixel centres are at integers and the
  centre of the lower-left pixel is (0, 0); FITS headers and DS9 are one more.
* Calibrated images are in electrons. `weight` is the inverse variance including source noise, 0 where unusable. A
  `mask` is boolean and True where a pixel must not be used. NaN never enters or leaves.
* Positions are ICRS degrees; times MJD (UTC); proper motions mas/yr with cos δ included in ra.
* PSF stamps are odd, sum to 1, and are centred on their middle pixel.
* A flux is a full-PSF flux in the unit of the image: m = −2.5 log10(flux) + zp, AB magnitudes.
* FFTs are `scipy.fft` in float32 with the PSF centre at pixel [0, 0].
"""
