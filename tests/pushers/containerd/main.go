// Pushes an OCI layout's image as containerd does: `pusher LAYOUT REFERENCE`. PUSH_USER and PUSH_SECRET log in; a secret
// without a user is a refresh token. `pusher pull DIRECTORY REFERENCE` pulls one,
// and with PULL_MIRROR by way of that host alone, as with one entry of hosts.toml for all registries.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func resolver() remotes.Resolver {
	credentials := func(string) (string, string, error) { return os.Getenv("PUSH_USER"), os.Getenv("PUSH_SECRET"), nil }
	authorizer := docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))
	hosts := docker.ConfigureDefaultRegistries(
		docker.WithPlainHTTP(docker.MatchAllHosts), docker.WithClient(http.DefaultClient), docker.WithAuthorizer(authorizer))
	if mirror := os.Getenv("PULL_MIRROR"); mirror != "" {
		capabilities := docker.HostCapabilityPull | docker.HostCapabilityResolve
		host := docker.RegistryHost{
			Client: http.DefaultClient, Authorizer: authorizer, Host: mirror, Scheme: "http", Path: "/v2", Capabilities: capabilities,
		}
		hosts = func(string) ([]docker.RegistryHost, error) { return []docker.RegistryHost{host}, nil }
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts})
}

func pull(ctx context.Context, directory, reference string) error {
	store, err := local.NewStore(directory)
	if err != nil {
		return err
	}
	name, described, err := resolver().Resolve(ctx, reference)
	if err != nil {
		return err
	}
	fetcher, err := resolver().Fetcher(ctx, name)
	if err != nil {
		return err
	}
	return images.Dispatch(ctx, images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store)), nil, described)
}

func push(ctx context.Context, layout, reference string) error {
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		return err
	}
	store, err := local.NewStore(layout)
	if err != nil {
		return err
	}
	pusher, err := resolver().Pusher(ctx, reference)
	if err != nil {
		return err
	}
	wrap := func(h images.Handler) images.Handler { return h }
	return remotes.PushContent(ctx, pusher, index.Manifests[0], store, nil, platforms.All, wrap)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	run, arguments := push, os.Args[1:]
	if arguments[0] == "pull" {
		run, arguments = pull, arguments[1:]
	}
	if err := run(ctx, arguments[0], arguments[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
