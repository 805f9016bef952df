#!/usr/bin/env bash
# Builds both archives, installs each in an environment of its own, and uses what it installed, away from the checkout.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset PYTHONPATH

fail() { echo "install.sh: $1" >&2; exit 1; }

new_environment() { # FOLDER PACKAGE...
    "${PYTHON:-python3}" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}"
}

# From the tracked files alone: others that lie in the checkout could hide that one is missing.
mkdir "$work/source"
git ls-files -z | tar --create --null --files-from=- | tar --extract --directory="$work/source"
new_environment "$work/build" build
"$work/build/bin/python" -m build --outdir "$work/dist" "$work/source" >"$work/log" || { cat "$work/log"; exit 1; }
sdist=$(echo "$work"/dist/*.tar.gz) wheel=$(echo "$work"/dist/*.whl)

missing=$(comm -23 <(git ls-files | sort) <(tar --list --file="$sdist" | cut -d/ -f2- | sort))
[ -z "$missing" ] || fail "the source archive lacks $missing; see MANIFEST.in"
diff <(git ls-files tinyface weights | sed 's,^weights,tinyface/weights,' | sort) \
    <("$work/build/bin/python" -m zipfile --list "$wheel" | awk 'NR > 1 && !/dist-info/ { print $1 }' | sort) ||
    fail "the wheel lacks what is marked <, and should not have what is marked >"

for archive in "$wheel" "$sdist"; do
    echo "== installed from $(basename "$archive")"
    environment=$work/from-${archive##*.}
    new_environment "$environment" "$archive"
    mkdir "$environment/elsewhere"
    cd "$environment/elsewhere"
    cp "$root/cli.py" .
    PATH=$environment/bin:$PATH
    quick=(--preset tiny --steps 2 --batch-size 6 --val-every 2 --data faces)
    photo=faces/celeba/Img/img_align_celeba/000001.jpg

    version=$(pip show --disable-pip-version-check tinyface-attributes | sed -n 's/^Version: //p')
    for command in "tinyface" "python -m tinyface" "python cli.py"; do
        [ "$($command --version)" = "tinyface, version $version" ] || fail "$command --version does not say $version"
    done
    tinyface gradcheck
    tinyface draw-faces --out faces --train 12 --val 6 --test 6
    tinyface train-seg "${quick[@]}" --out seg
    tinyface train-attr --ssp --ssg "${quick[@]}" --out attr
    tinyface predict "$photo"
    python -m tinyface predict "$photo" --weights attr
    python cli.py predict "$photo"
done

echo "== type checking a program that uses the installed package"
python -m pip install --quiet --disable-pip-version-check mypy
python -m mypy --strict "$root/tests/helpers/typed_program.py"
