#!/bin/sh
# Makes build/rkt_VERSION_ARCH.deb from what `make install` installs. The same commit gives the same bytes: all times are SOURCE_DATE_EPOCH's, or the commit's.
# usage: tools/build-deb.sh [VERSION]    the package's version; default: package.json's, with "~" where Debian wants one. Only tests give another, and DEB_COMPRESSION_LEVEL=0.
set -eu
umask 022
cd "$(dirname "$0")/.."
rkt_version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
# Debian: a pre-release sorts before the release only behind a tilde.
version=${1:-$(echo "$rkt_version" | sed 's/-/~/')}
architecture=$(dpkg --print-architecture)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

root=$(mktemp -d build/deb-XXXXXX)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
tools/install.sh install "$PWD/$root" /usr

doc=$root/usr/share/doc/rkt
install -d -m 755 "$doc" "$root/DEBIAN" "$root/etc/default" "$root/usr/share/lintian/overrides"
install -m 644 dist/debian/rkt.default "$root/etc/default/rkt"
install -m 644 dist/debian/copyright "$doc/copyright"
install -m 644 dist/debian/lintian-overrides "$root/usr/share/lintian/overrides/rkt"
install -m 644 README.md CHANGELOG.md docs/*.md "$doc"
cp -R dist/init/examples "$doc/examples"
cat > "$doc/changelog" <<CHANGELOG
rkt ($version) unstable; urgency=medium

  * rkt $rkt_version; what is new in it: /usr/share/doc/rkt/CHANGELOG.md.gz

 -- rkt developers <maintainers@rkt.example.org>  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
gzip -9n "$doc/changelog" "$doc/CHANGELOG.md" "$root"/usr/share/man/man1/*.1

# The newest symbol of the C library that the executable asks for.
libc=$(objdump -T "$root/usr/bin/rkt" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -uV | tail -n 1)
sed -e "s|@VERSION@|$version|" -e "s|@ARCHITECTURE@|$architecture|" -e "s|@LIBC@|$libc|" \
  -e "s|@SIZE@|$(du -k --apparent-size -s "$root" | cut -f 1)|" dist/debian/control.in > "$root/DEBIAN/control"
for script in postinst prerm postrm; do
  sed "s|@RKT_VERSION@|$rkt_version|" "dist/debian/$script" > "$root/DEBIAN/$script"
  chmod 755 "$root/DEBIAN/$script"
done
(cd "$root" && find etc -type f | sed 's|^|/|') > "$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f | LC_ALL=C sort | xargs -d '\n' md5sum) > "$root/DEBIAN/md5sums"
chmod 644 "$root/DEBIAN/control" "$root/DEBIAN/conffiles" "$root/DEBIAN/md5sums"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
package=build/rkt_${version}_$architecture.deb
# The stage1 images are compressed already; most of the rest is one program.
dpkg-deb --root-owner-group -Zxz -z"${DEB_COMPRESSION_LEVEL:-3}" --build "$root" "$package" > /dev/null
echo "$package"
