#!/usr/bin/env bash
# Install Chromium and its driver from Debian's or Ubuntu's packages where they are missing.
set -euo pipefail
if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then exit 0; fi
as_root=""
[ "$(id -u)" = 0 ] || as_root="sudo"
$as_root apt-get update -qq
$as_root apt-get install -y -qq chromium chromium-driver >/dev/null
