"""MobileStereoNet (Shamsafar et al., WACV 2022, arXiv 2108.09770): disparity with depthwise separable convolutions."""
