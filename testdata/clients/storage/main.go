// What podman, Buildah and CRI-O do to fetch an image, by the library that all of them are made of, at a newer version than Debian's
// podman has: `containers-pull pull IMAGE`, `containers-pull mount IMAGE`, which prints where, and `containers-pull unmount IMAGE`.
// The storage is the one that CONTAINERS_STORAGE_CONF names.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sirupsen/logrus"
	"go.podman.io/image/v5/copy"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/signature"
	destination "go.podman.io/image/v5/storage"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage"
	"go.podman.io/storage/pkg/reexec"
)

func main() {
	// The library starts this program again for what it does in another root.
	if reexec.Init() {
		return
	}
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: containers-pull pull|mount|unmount IMAGE")
		os.Exit(2)
	}
	// What it fetches and what it had is said for whoever debugs it.
	logrus.SetLevel(logrus.DebugLevel)
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what, image string) error {
	options, err := storage.DefaultStoreOptions()
	if err != nil {
		return err
	}
	store, err := storage.GetStore(options)
	if err != nil {
		return err
	}
	into, err := destination.Transport.ParseStoreReference(store, image)
	if err != nil {
		return err
	}
	if what == "pull" {
		return pull(image, into)
	}
	_, found, err := destination.ResolveReference(into)
	if err != nil {
		return err
	}
	if what == "unmount" {
		_, err = store.UnmountImage(found.ID, true)
		return err
	}
	path, err := store.MountImage(found.ID, nil, "")
	if err == nil {
		fmt.Println(path)
	}
	return err
}

func pull(image string, into types.ImageReference) error {
	from, err := docker.ParseReference("//" + image)
	if err != nil {
		return err
	}
	anything := &signature.Policy{Default: signature.PolicyRequirements{signature.NewPRInsecureAcceptAnything()}}
	policy, err := signature.NewPolicyContext(anything)
	if err != nil {
		return err
	}
	defer policy.Destroy()
	insecure := &types.SystemContext{DockerInsecureSkipTLSVerify: types.OptionalBoolTrue}
	_, err = copy.Image(context.Background(), policy, into, from, &copy.Options{SourceCtx: insecure, DestinationCtx: insecure})
	return err
}
