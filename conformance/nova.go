package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"neutrino/lab"
)

// novaStory is what the owner of instances does; openstack.story has its form.
//
//go:embed nova.story
var novaStory string

// What instances are made of, by their names.
const (
	imageName  = "guest"
	flavorName = "tiny"
)

// novaTests are tempest's that need instances: those of tempest.api.network that
// ask for a compute service, and those that boot machines to see whether the
// network is as they were told.
const novaTests = `^tempest\.api\.network\..*binding_ext_attr|^tempest\.scenario\.test_network_basic_ops\.`

// nova brings up Nova with real hypervisors, plays the story of its users, and
// runs tempest's tests that need instances.
func (s *stack) nova(ctx context.Context) ([]result, error) {
	if err := s.startCompute(ctx); err != nil {
		return nil, err
	}
	image, err := s.makeImage(ctx)
	if err != nil {
		return nil, err
	}
	flavor, err := s.makeFlavor(ctx)
	if err != nil {
		return nil, err
	}
	results, err := s.play(ctx, story{partNova, novaStory, map[string]string{"image": image, "flavor": flavor}})
	if err != nil {
		return results, err
	}
	tests, err := s.tempest(ctx, suite{part: partNova, tests: novaTests, workers: 1, image: image, flavor: flavor})
	return append(results, tests...), err
}

// makeImage makes the guest's image: kernel and initramfs, and beside them a disk
// with nothing on it, which names both.
func (s *stack) makeImage(ctx context.Context) (string, error) {
	files, err := s.hosts.CloudImage(ctx, s.path("compute"))
	if err != nil {
		return "", err
	}
	disk := s.path("compute/disk")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o644); err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	admin, err := s.keystone.login(ctx, adminUser)
	if err != nil {
		return "", err
	}
	glance := rest{base: "http://127.0.0.1:" + strconv.Itoa(s.compute.glance) + "/v2", token: admin.token}
	// Not aki and ari: this Nova moves no disk of an instance with such a kernel,
	// because it is a raw file (nova/virt/images.py, do_image_deep_inspection).
	kernel, err := upload(ctx, glance, files.Kernel, object{"name": "kernel", "disk_format": "raw", "container_format": "bare"})
	if err != nil {
		return "", err
	}
	initrd, err := upload(ctx, glance, files.Initrd, object{"name": "initramfs", "disk_format": "raw", "container_format": "bare"})
	if err != nil {
		return "", err
	}
	return upload(ctx, glance, disk, object{
		"name": imageName, "disk_format": "raw", "container_format": "bare",
		"kernel_id": kernel, "ramdisk_id": initrd, "os_command_line": files.CommandLine,
		"hw_rng_model": "virtio",
	})
}

// upload makes a public image of a file.
func upload(ctx context.Context, glance rest, file string, image object) (string, error) {
	image["visibility"] = "public"
	made := object{}
	if _, err := glance.ask(ctx, http.MethodPost+" /images", image, &made); err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	f, err := os.Open(file)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	defer f.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, glance.base+"/images/"+made.text("id")+"/file", f)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("X-Auth-Token", glance.token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		return "", errors.New("image: upload: " + resp.Status)
	}
	return made.text("id"), nil
}

// makeFlavor makes the size of all instances.
func (s *stack) makeFlavor(ctx context.Context) (string, error) {
	nova, err := s.novaAPI(ctx)
	if err != nil {
		return "", err
	}
	made, err := nova.create(ctx, "/flavors", object{"name": flavorName, "ram": 192, "vcpus": 1, "disk": 1})
	return made.text("id"), err
}

// outside is the host from which tests see the public network.
func (s *stack) outside() (*lab.Host, error) { return s.hosts.Host(lab.RoleOutside) }
