// An identity provider on loopback, for tests: the example server of zitadel/oidc, whose client `sid1` gets access tokens
// as JWTs for the audience that it asks for as its scope. Two others get ID tokens of the example's users by the device
// flow. Each start has a key of its own, so a restart is a rotation.
//
//	issuer PORT
package main

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// The example gives tokens that only it can read. A registry needs to read them.
type readable struct{ op.Client }

func (readable) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeJWT }

func (readable) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// ID tokens that say of a person what was asked for.
type telling struct{ op.Client }

func (telling) IDTokenUserinfoClaimsAssertion() bool { return true }

type jobs struct {
	*storage.Storage
	users storage.UserStore
}

func (s jobs) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	client, err := s.Storage.ClientCredentials(ctx, id, secret)
	if err != nil {
		return nil, err
	}
	return readable{client}, nil
}

func (s jobs) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &oidc.JWTTokenRequest{Subject: id, Audience: scopes, Scopes: scopes}, nil
}

func (s jobs) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return telling{client}, nil
}

// The example's page notes the name of the user, and its tokens need the ID.
func (s jobs) CompleteDeviceAuthorization(ctx context.Context, code, name string) error {
	return s.Storage.CompleteDeviceAuthorization(ctx, code, s.users.GetUserByUsername(name).ID)
}

func (s jobs) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{"repository_owner": "acme"}, nil
}

func main() {
	address := "127.0.0.1:" + os.Args[1]
	issuer := "http://" + address
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	storage.RegisterClients(
		storage.DeviceClient("https://registry.example.com", "secret"),
		storage.DeviceClient("https://elsewhere.example.com", "secret"),
	)
	users := storage.NewUserStore(issuer)
	kept := jobs{storage.NewStorage(users), users}
	log.Fatal(http.ListenAndServe(address, exampleop.SetupServer(issuer, kept, logger, false)))
}
