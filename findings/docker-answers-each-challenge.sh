#!/bin/sh
# docker's client of registries answers every challenge of an answer 401, and the last one wins.
#
# Expected: a registry offers `Bearer`, and `Basic` for clients that know nothing else. RFC 9110, section 11.6.1, lets a
#   client choose one of them. A client with a refresh token, or without a login, takes Bearer and gets a token.
# Seen: the client that docker's daemon has (github.com/docker/distribution) answers both, in the registry's order. With a password, each
#   request carries the password, and the token that was just fetched is thrown away. With a refresh token, which is all that
#   `docker login` keeps, and without a login, it ends with "no basic auth credentials" and sends nothing.
# For a registry: offer Bearer alone, as the large public ones do.
# Needs Go.
set -eu
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
go mod init found 2>&1
go get github.com/docker/distribution@v2.8.3+incompatible 2>&1
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/docker/distribution/registry/client/auth"
	"github.com/docker/distribution/registry/client/auth/challenge"
	"github.com/docker/distribution/registry/client/transport"
)

type keeper struct{ name, password, refresh string }

func (k keeper) Basic(*url.URL) (string, string)          { return k.name, k.password }
func (k keeper) RefreshToken(*url.URL, string) string     { return k.refresh }
func (k keeper) SetRefreshToken(*url.URL, string, string) {}

// asked returns what a registry that offers Bearer, then Basic, is sent as Authorization.
func asked(who keeper) string {
	var sent string
	var here *httptest.Server
	here = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			fmt.Fprint(w, `{"token": "t", "access_token": "t", "expires_in": 300}`)
			return
		}
		sent = r.Header.Get("Authorization")
		if sent == "" {
			w.Header().Add("WWW-Authenticate", `Bearer realm="`+here.URL+`/token",service="s"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="s"`)
			w.WriteHeader(401)
		}
	}))
	defer here.Close()
	manager := challenge.NewSimpleManager()
	ping, err := http.Get(here.URL + "/v2/")
	if err != nil {
		return err.Error()
	}
	manager.AddResponse(ping)
	token := auth.NewTokenHandler(http.DefaultTransport, who, "app", "pull")
	modifier := auth.NewAuthorizer(manager, token, auth.NewBasicHandler(who))
	client := &http.Client{Transport: transport.NewTransport(http.DefaultTransport, modifier)}
	sent = "nothing"
	if _, err := client.Get(here.URL + "/v2/app/tags/list"); err != nil {
		return "error: " + err.Error()[strings.LastIndex(err.Error(), ": ")+2:]
	}
	return strings.Fields(sent)[0]
}

func main() {
	fmt.Println("password:", asked(keeper{name: "u", password: "p"}))
	fmt.Println("refresh token:", asked(keeper{refresh: "r"}))
	fmt.Println("no login:", asked(keeper{}))
}
GO
go mod tidy 2>&1
go run . >seen
echo "version:  github.com/docker/distribution v2.8.3"
echo "expected: each of the three sends Bearer"
sed 's/^/seen:     /' seen
printf '%s\n' "password: Basic" "refresh token: error: no basic auth credentials" "no login: error: no basic auth credentials" | cmp -s - seen
