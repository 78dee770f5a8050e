package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Unpacked is the directory with the files of a Debian package, which is not
// installed: none of its services starts. It is downloaded into the lab's cache
// unless it is there already.
func (l *Lab) Unpacked(ctx context.Context, pkg string) (string, error) {
	target := filepath.Join(l.Cache, "package-"+pkg)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	work, err := l.fetchPackage(ctx, pkg)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	// Another lab may have been faster; its result is as good.
	if err := os.Rename(filepath.Join(work, "tree"), target); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("lab: package %s: %w", pkg, err)
	}
	return target, nil
}

// fetchPackage downloads a Debian package and unpacks it into "tree" in a new
// directory of the cache, which the caller removes.
func (l *Lab) fetchPackage(ctx context.Context, pkg string) (string, error) {
	if err := os.MkdirAll(l.Cache, 0o755); err != nil {
		return "", fmt.Errorf("lab: package %s: %w", pkg, err)
	}
	work, err := os.MkdirTemp(l.Cache, "fetch-")
	if err == nil {
		err = unpackInto(ctx, work, pkg)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("lab: package %s: %w", pkg, err), os.RemoveAll(work))
	}
	return work, nil
}

// unpackInto downloads a package into a directory and unpacks it into its
// directory "tree".
func unpackInto(ctx context.Context, work, pkg string) error {
	download := exec.CommandContext(ctx, "apt-get", "download", pkg)
	download.Dir = work
	if out, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get download: %w: %s (run apt-get update)", err, strings.TrimSpace(string(out)))
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("apt-get download left %d packages (%v)", len(debs), err)
	}
	if out, err := exec.CommandContext(ctx, "dpkg", "-x", debs[0], filepath.Join(work, "tree")).CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg -x %s: %w: %s", debs[0], err, strings.TrimSpace(string(out)))
	}
	return nil
}
