package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// CloudImage is what a virtual machine of somebody else's cloud boots: kernel
// and initramfs as two files, and the words for the kernel.
type CloudImage struct {
	Kernel, Initrd, CommandLine string
}

// CloudImage makes an image in the directory out of the lab's cache. Its machine
// takes its address by DHCP, asks the metadata service who it is, says both on
// its console as "lease <address>" and "metadata <id>", and each interface that
// comes as "interface <name> <MAC>"; root gets in by SSH with the key that the
// metadata service tells.
func (l *Lab) CloudImage(ctx context.Context, dir string) (CloudImage, error) {
	img := CloudImage{
		Kernel: filepath.Join(dir, "vmlinuz"), Initrd: filepath.Join(dir, "initramfs"),
		CommandLine: "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off",
	}
	kernel, err := l.cachedKernel(ctx)
	if err == nil && kernel == "" {
		kernel, err = l.fetchKernel(ctx)
	}
	if err != nil {
		return img, err
	}
	more, err := l.sshServer(ctx, dir)
	if err != nil {
		return img, err
	}
	if more["cloud"], err = guestFiles.ReadFile("guest/cloud"); err != nil {
		return img, fmt.Errorf("lab: image: %w", err)
	}
	// The hosts' Open vSwitch in user space fills in no checksums, and Nova's os-vif,
	// unlike ours, leaves them to it.
	more["modules/virtio_net.options"] = []byte("csum=0\n")
	initramfs, err := buildInitramfs(ctx, filepath.Join(kernel, "modules"), more)
	if err != nil {
		return img, err
	}
	vmlinuz, err := os.ReadFile(filepath.Join(kernel, "vmlinuz"))
	return img, errors.Join(err, os.WriteFile(img.Kernel, vmlinuz, 0o644), os.WriteFile(img.Initrd, initramfs, 0o644))
}

// sshPackages are Debian's packages of a small SSH server, which are unpacked
// and not installed.
var sshPackages = [...]string{"dropbear-bin", "libtomcrypt1", "libtommath1"}

// sshServer is dropbear with a new host key and all libraries that it needs, by
// the names that the files have in the guest.
func (l *Lab) sshServer(ctx context.Context, dir string) (map[string][]byte, error) {
	var trees, libraries []string
	for _, pkg := range sshPackages {
		tree, err := l.Unpacked(ctx, pkg)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
		libraries = append(libraries, filepath.Join(tree, "usr/lib/x86_64-linux-gnu"))
	}
	found := "LD_LIBRARY_PATH=" + strings.Join(libraries, ":")
	key, server := filepath.Join(dir, "dropbear.key"), filepath.Join(trees[0], "usr/sbin/dropbear")
	keygen := exec.CommandContext(ctx, filepath.Join(trees[0], "usr/bin/dropbearkey"), "-t", "ed25519", "-f", key)
	keygen.Env = append(os.Environ(), found)
	if out, err := keygen.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("lab: image: make a host key: %w: %s", err, out)
	}
	ldd := exec.CommandContext(ctx, "ldd", server)
	ldd.Env = append(os.Environ(), found)
	out, err := ldd.Output()
	if err != nil {
		return nil, fmt.Errorf("lab: image: libraries of %s: %w", server, err)
	}
	files := map[string][]byte{}
	for name, from := range map[string]string{"ssh/key": key, "ssh/dropbear": server} {
		if files[name], err = os.ReadFile(from); err != nil {
			return nil, fmt.Errorf("lab: image: %w", err)
		}
	}
	for _, from := range needed(string(out)) {
		// Not where busybox, which is static, would find them: it needs none.
		name := "ssh/" + filepath.Base(from)
		if files[name], err = os.ReadFile(from); err != nil {
			return nil, fmt.Errorf("lab: image: %w", err)
		}
	}
	return files, nil
}

// needed are the files that ldd (ldd(1)) names.
func needed(said string) []string {
	var files []string
	for _, word := range strings.Fields(said) {
		if strings.HasPrefix(word, "/") {
			files = append(files, word)
		}
	}
	return files
}
