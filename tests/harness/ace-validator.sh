#!/bin/sh
# The checks of the App Container specification's executor validator (ace/validator.go), from inside a pod: main, sidekick, prestart, poststop.
# Prints "STAGE OK" and ends with 0, or says what is wrong on stderr, prints "STAGE FAIL" and ends with 1.
failed=0
wrong() { echo "==> $*" >&2; failed=1; }
same() { # same WHAT GOT EXPECTED
  [ "$2" = "$3" ] || wrong "$1: \"$2\", expected \"$3\""
}
has() { # has WHAT TEXT PART
  case $2 in *"$3"*) ;; *) wrong "$1: \"$2\", expected to contain \"$3\"" ;; esac
}
get() { # get PATH TYPE: the body on stdout
  headers=$(wget -q -S -O /tmp/body "$AC_METADATA_URL/acMetadata/v1/$1" 2>&1) || { wrong "GET $1: $headers"; return; }
  has "GET $1: headers" "$headers" "Content-Type: $2"
  cat /tmp/body
}
post() { # post PATH FORM: the body, or the server's refusal
  wget -q -O - --post-data "$2" "$AC_METADATA_URL/acMetadata/v1/$1" 2>&1
}
text="text/plain; charset=us-ascii"

metadata() {
  has "pod annotations" "$(get pod/annotations application/json)" '{"name":"example.com/colour","value":"green"}'
  same "a pod annotation" "$(get pod/annotations/example.com/colour "$text")" green
  has "pod manifest" "$(get pod/manifest application/json)" '"acKind":"PodManifest"'
  uuid=$(get pod/uuid "$text")
  same "length of the pod's uuid" "${#uuid}" 36
  has "pod uuid in the host name" "$(hostname)" "$uuid"
  has "app annotations" "$(get "apps/$AC_APP_NAME/annotations" application/json)" '{"name":"lorem","value":"ipsum dolor"}'
  same "an app annotation" "$(get "apps/$AC_APP_NAME/annotations/lorem" "$text")" "ipsum dolor"
  has "image manifest" "$(get "apps/$AC_APP_NAME/image/manifest" application/json)" '"name":"coreos.com/ace-validator-main"'
  has "image id" "$(get "apps/$AC_APP_NAME/image/id" "$text")" sha512-
  signature=$(post pod/hmac/sign content=hello%20world)
  # Base64 in a form: + stands for a space unless it is escaped.
  escaped=$(printf %s "$signature" | sed 's/+/%2B/g; s,/,%2F,g; s/=/%3D/g')
  same "length of a signature" "${#signature}" 88
  same "verification" "$(post pod/hmac/verify "uuid=$uuid&content=hello%20world&signature=$escaped")" ""
  has "of tampered content" "$(post pod/hmac/verify "uuid=$uuid&content=hello&signature=$escaped")" "403"
  has "of another pod" "$(post pod/hmac/verify "uuid=11111111-1111-4111-8111-111111111111&content=hello%20world&signature=$escaped")" "403"
  has "without content" "$(post pod/hmac/sign other=1)" "400"
  has "an annotation that is not there" "$(wget -q -O - "$AC_METADATA_URL/acMetadata/v1/pod/annotations/nonesuch" 2>&1)" "404"
  has "an app that is not there" "$(wget -q -O - "$AC_METADATA_URL/acMetadata/v1/apps/nonesuch/image/id" 2>&1)" "404"
  has "another token" "$(wget -q -O - "${AC_METADATA_URL%/*}/0123456789abcdef0123456789abcdef/acMetadata/v1/pod/uuid" 2>&1)" "401"
}

# wait_for FILE, at most half a minute
wait_for() {
  for _ in $(seq 300); do [ -e "$1" ] && return; sleep 0.1; done
  wrong "$1 did not appear"
}

case $1 in
  prestart) touch /prestart ;;
  poststop) touch /db/poststop ;;
  main)
    [ -e /prestart ] || wrong "/prestart: the handler did not run"
    same PATH "$PATH" /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    same "working directory" "$(pwd)" /opt/acvalidator
    same IN_ACE_VALIDATOR "$IN_ACE_VALIDATOR" correct
    same AC_APP_NAME "$AC_APP_NAME" ace-validator-main
    grep -q ' /db ' /proc/self/mountinfo || wrong "/db is no mount point"
    metadata
    touch /db/main
    wait_for /db/sidekick
    ;;
  sidekick)
    touch /db/sidekick
    wait_for /db/main
    ;;
  *) echo "unknown stage $1" >&2; exit 64 ;;
esac
[ $failed -eq 0 ] && { echo "$1 OK"; exit 0; }
echo "$1 FAIL"
exit 1
