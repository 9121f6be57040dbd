#!/bin/sh
# doublestar (zot's library for patterns of repository names): a star behind a brace that ends in a star goes past slashes.
#
# Expected: "*" matches any sequence of characters but separators, "**" more only as a component of its own, and braces stand for
#   one of their texts. So {*,x}* means * or x*, as *{*,x} does, and matches no name with a slash. And b*** is as good as b**,
#   which matches b.
# Seen: {*,x}* matches a/b and a/b/c, and *{*,x} does not. b** matches b, and b*** does not.
# For a registry: patterns of repositories that are written for zot may mean more, or less, than they seem to. zotpy keeps each star
#   within its segment, wherever braces are, and reads b*** as b*.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.24

require github.com/bmatcuk/doublestar/v4 v4.10.0
MOD
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/bmatcuk/doublestar/v4"
)

type row struct {
	pattern, name  string
	expected, seen bool
}

func main() {
	rows := []row{
		{"*", "a/b", false, false},
		{"*{*,x}", "a/b", false, false},
		{"{*,x}*", "a/b", false, true},
		{"{*,x}*", "a/b/c", false, true},
		{"b**", "b", true, true},
		{"b***", "b", true, false},
	}
	fmt.Println("version  doublestar v4.10.0")
	same := true
	for _, each := range rows {
		found := doublestar.MatchUnvalidated(each.pattern, each.name)
		checked, err := doublestar.Match(each.pattern, each.name)
		fmt.Printf("%-8s on %-6s expected %-6t seen %t\n", each.pattern, each.name, each.expected, found)
		same = same && err == nil && checked == found && found == each.seen
	}
	if !same {
		fmt.Println("this is not what was found")
		os.Exit(1)
	}
}
GO
GOPATH="$dir/go" GOFLAGS=-mod=mod go run .
