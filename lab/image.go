package lab

import (
	"context"
	"debug/elf"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// guestFiles are the scripts inside a virtual machine: init, udhcpc (also used
// by light instances) and agent.
//
//go:embed guest
var guestFiles embed.FS

// kernelPackage is Debian's package that always depends on the newest small
// kernel for virtual machines.
const kernelPackage = "linux-image-cloud-amd64"

// guestModules are what a virtio NIC needs, in the order of loading.
var guestModules = [...]string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev",
	"virtio_pci", "failover", "net_failover", "virtio_net",
}

// image is what a virtual machine boots.
type image struct {
	Kernel string
	Initrd string
}

func (l *Lab) image() image {
	return image{Kernel: l.path("vmlinuz"), Initrd: l.path("initramfs")}
}

// prepareImage makes the image in the lab's directory out of the cache, which
// it fills first when it is empty.
func (l *Lab) prepareImage(ctx context.Context) error {
	kernel, err := l.cachedKernel(ctx)
	if err == nil && kernel == "" {
		l.say("fetching the virtual machine's kernel into %s", l.Cache)
		kernel, err = l.fetchKernel(ctx)
	}
	if err != nil {
		return err
	}
	vmlinuz, err := os.ReadFile(filepath.Join(kernel, "vmlinuz"))
	if err != nil {
		return fmt.Errorf("lab: image: %w", err)
	}
	initramfs, err := buildInitramfs(ctx, filepath.Join(kernel, "modules"), nil)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return fmt.Errorf("lab: image: %w", err)
	}
	img := l.image()
	if err := os.WriteFile(img.Kernel, vmlinuz, 0o644); err != nil {
		return fmt.Errorf("lab: image: %w", err)
	}
	// Not compressed: the guest would have to unpack it under emulation.
	if err := os.WriteFile(img.Initrd, initramfs, 0o644); err != nil {
		return fmt.Errorf("lab: image: %w", err)
	}
	return nil
}

// cachedKernel is the directory of the newest kernel in the cache, or "".
func (l *Lab) cachedKernel(context.Context) (string, error) {
	found, err := filepath.Glob(filepath.Join(l.Cache, "linux-image-*", "vmlinuz"))
	if err != nil {
		return "", fmt.Errorf("lab: image: %w", err)
	}
	newest, when := "", int64(0)
	for _, path := range found {
		info, err := os.Stat(path)
		if err == nil && info.ModTime().UnixNano() > when {
			newest, when = filepath.Dir(path), info.ModTime().UnixNano()
		}
	}
	return newest, nil
}

// fetchKernel downloads the kernel's package, without installing it, and keeps
// what a virtual machine needs.
func (l *Lab) fetchKernel(ctx context.Context) (string, error) {
	depends, err := exec.CommandContext(ctx, "apt-cache", "depends", kernelPackage).Output()
	if err != nil {
		return "", fmt.Errorf("lab: image: apt-cache depends %s: %w (run apt-get update)", kernelPackage, err)
	}
	_, rest, _ := strings.Cut(string(depends), "Depends: ")
	pkg, _, _ := strings.Cut(rest, "\n")
	if pkg = strings.TrimSpace(pkg); pkg == "" {
		return "", fmt.Errorf("lab: image: apt-cache names no kernel for %s (run apt-get update)", kernelPackage)
	}
	work, err := l.fetchPackage(ctx, pkg)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	return l.keepKernel(work, pkg)
}

// keepKernel moves what a virtual machine needs out of the unpacked package.
func (l *Lab) keepKernel(work, pkg string) (string, error) {
	tree := filepath.Join(work, "tree")
	kept := filepath.Join(work, "kept")
	if err := os.MkdirAll(filepath.Join(kept, "modules"), 0o755); err != nil {
		return "", fmt.Errorf("lab: image: %w", err)
	}
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		module, isModule := strings.CutSuffix(d.Name(), ".ko")
		switch {
		case err != nil || d.IsDir():
			return err
		case strings.HasPrefix(d.Name(), "vmlinuz-"):
			return os.Rename(path, filepath.Join(kept, "vmlinuz"))
		case isModule && slices.Contains(guestModules[:], module):
			return os.Rename(path, filepath.Join(kept, "modules", d.Name()))
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("lab: image: %w", err)
	}
	target := filepath.Join(l.Cache, pkg)
	// Another lab may have been faster; its result is as good.
	if err := os.Rename(kept, target); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("lab: image: %w", err)
	}
	return target, nil
}

// buildInitramfs packs busybox, the modules, the guest's scripts and further
// files, by their names in the guest.
func buildInitramfs(ctx context.Context, modules string, more map[string][]byte) ([]byte, error) {
	busybox, err := staticBusybox(ctx)
	if err != nil {
		return nil, err
	}
	var a archive
	for _, dir := range []string{"bin", "modules", "dev"} {
		a.directory(dir)
	}
	a.file("bin/busybox", busybox)
	for _, name := range []string{"init", "udhcpc", "agent"} {
		b, err := guestFiles.ReadFile("guest/" + name)
		if err != nil {
			return nil, fmt.Errorf("lab: image: %w", err)
		}
		a.file(name, b)
	}
	for _, name := range guestModules {
		b, err := os.ReadFile(filepath.Join(modules, name+".ko"))
		if err != nil {
			return nil, fmt.Errorf("lab: image: %w", err)
		}
		a.file("modules/"+name+".ko", b)
	}
	a.file("modules/order", []byte(strings.Join(guestModules[:], "\n")+"\n"))
	made := map[string]bool{"bin": true}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		for _, dir := range parents(name) {
			if !made[dir] {
				made[dir] = true
				a.directory(dir)
			}
		}
		a.file(name, more[name])
	}
	return a.bytes(), nil
}

// parents are the directories above a file, from the top.
func parents(name string) []string {
	var dirs []string
	for i, c := range name {
		if c == '/' {
			dirs = append(dirs, name[:i])
		}
	}
	return dirs
}

// staticBusybox reads busybox, and refuses one that needs shared libraries:
// the guest has none.
func staticBusybox(context.Context) ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("lab: image: %w (install busybox-static)", err)
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("lab: image: %s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("lab: image: %s is not static: install busybox-static", path)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("lab: image: %w", err)
	}
	return b, nil
}
