#!/bin/bash
# Builds upstream's kube-apiserver, kube-controller-manager and kube-scheduler (1.20.2, the newest that Debian 12 has as a
# source package) for `npm run bench -- --peer DIR`. Root, Debian 12, 3 GB of disk, about ten minutes on two cores.
#   usage: scripts/bench/build-peer.sh DIR      (the binaries come to lie in DIR; what is built stays in DIR/build)
set -euo pipefail
[ $# = 1 ] || { sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 64; }
mkdir -p "$1/build"
out=$(readlink -f "$1")
build=$out/build
archive='kubernetes_1.20.5+really1.20.2.orig.tar.gz'
archive_sha256=b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc

export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -qy install --no-install-recommends golang-1.19-go dpkg-dev etcd-server
cd "$build"

# The source package, from entries that are there for this one download.
if [ ! -s "$archive" ]; then
  entries=/etc/apt/sources.list.d/tsukube-bench-source.sources
  trap 'rm -f "$entries"' EXIT
  sed 's/^Types: deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >"$entries"
  apt-get -q update
  apt-get -q source --download-only kubernetes
  rm -f "$entries"
  trap - EXIT
fi
echo "$archive_sha256  $archive" | sha256sum --check --quiet

# Built in GOPATH mode: the vendored modules are complete, the network is not asked.
tree=$build/gopath/src/k8s.io/kubernetes
if [ ! -f "$tree/Makefile" ]; then
  mkdir -p "$tree"
  tar -xzf "$archive" --strip-components=1 -C "$tree"
fi
# reflect2 1.0.1, which is vendored, reads memory that Go 1.18 laid out anew; Debian's newer one does not.
[ -n "$(ls golang-github-modern-go-reflect2-dev_*.deb 2>/dev/null)" ] || apt-get -q download golang-github-modern-go-reflect2-dev
rm -rf reflect2 && dpkg-deb -x golang-github-modern-go-reflect2-dev_*.deb reflect2
vendored=$tree/vendor/github.com/modern-go/reflect2
rm -f "$vendored"/*.go "$vendored"/*.s
cp reflect2/usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$vendored/"

cd "$tree"
export PATH=/usr/lib/go-1.19/bin:$PATH GOPATH=$build/gopath GOCACHE=$build/gocache GO111MODULE=off CGO_ENABLED=0 GOFLAGS=
# The OpenAPI definitions are generated code that the archive lacks: from every package marked for it.
go build -o "$build/" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
mapfile -t packages < <(
  {
    grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' staging/src/k8s.io | sed 's#^staging/src/#k8s.io/kubernetes/vendor/#'
    grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' pkg cmd plugin test | sed 's#^#k8s.io/kubernetes/#'
  } | grep -v -e /code-generator/ -e /sample-apiserver/ -e /testdata/ | xargs -n1 dirname | LC_ALL=C sort -u
)
"$build/openapi-gen" --logtostderr --input-dirs "$(IFS=,; echo "${packages[*]}")" \
  --output-package k8s.io/kubernetes/pkg/generated/openapi --output-file-base zz_generated.openapi \
  --go-header-file vendor/k8s.io/code-generator/hack/boilerplate.go.txt --report-filename "$build/openapi-violations"

version='-s -w'
for package in component-base/version client-go/pkg/version; do
  at=k8s.io/kubernetes/vendor/k8s.io/$package
  version="$version -X $at.gitVersion=v1.20.2 -X $at.gitMajor=1 -X $at.gitMinor=20 -X $at.gitTreeState=clean"
done
for program in kube-apiserver kube-controller-manager kube-scheduler; do
  go build -ldflags "$version" -o "$out/$program" "./cmd/$program"
done
ls -l "$out"/kube-*
