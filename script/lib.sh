# Shared by the scripts in this folder: `. script/lib.sh` from the repository's root.

step() { printf '==> %s\n' "$*"; }

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# Prints the first interpreter that is new enough. PYTHON names one by hand.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed and was not found. Install it, or set PYTHON to its path."
}

# ensure_venv FILE: .venv holds what the requirements file (and the files that it includes) names.
ensure_venv() {
  local file=$1 python stamp wanted
  stamp=.venv/$file.sum
  if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    step "Making .venv with $python"
    "$python" -m venv --clear .venv ||
      fail "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv"
  fi
  wanted=$(.venv/bin/python -c 'import hashlib, pathlib, sys
print(hashlib.sha256(b"".join(pathlib.Path(name).read_bytes() for name in sys.argv[1:])).hexdigest())' \
    requirements.txt "$file")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    step "Installing $file"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r "$file" ||
      fail "The packages of $file could not be installed: see pip's words above."
    printf '%s\n' "$wanted" > "$stamp"
  fi
}
