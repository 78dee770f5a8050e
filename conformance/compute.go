package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"neutrino/lab"
)

// startCompute starts Debian's MariaDB, RabbitMQ, Placement, Glance and Nova on loopback,
// libvirt and nova-compute on the compute hosts, and waits until these are there
// for the scheduler. Everything ends with the run.
func (s *stack) startCompute(ctx context.Context) error {
	template, err := s.computeTemplate(ctx)
	if err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	if err := copyTree(ctx, template, s.path("compute")); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	for _, dir := range []string{"lock", "images", "instances", "rabbit"} {
		if err := os.MkdirAll(s.path("compute", dir), 0o755); err != nil {
			return fmt.Errorf("compute: %w", err)
		}
	}
	if err := s.computeAccounts(ctx); err != nil {
		return err
	}
	if err := s.writeComputeConf(); err != nil {
		return err
	}
	if _, err := s.startDatabase(ctx, s.path("compute")); err != nil {
		return err
	}
	if err := s.startRabbit(ctx); err != nil {
		return err
	}
	starts, sctx := errgroup.WithContext(ctx)
	for _, start := range []func(context.Context) error{s.startPlacement, s.startGlance, s.startNova} {
		starts.Go(func() error { return start(sctx) })
	}
	if err := starts.Wait(); err != nil {
		return err
	}
	return s.startHypervisors(ctx)
}

// computeAccounts makes the services' users and enters the services into the
// catalog.
func (s *stack) computeAccounts(ctx context.Context) error {
	for _, user := range []string{"nova", "placement", "glance"} {
		if err := s.account(ctx, account{user, "service", []string{"admin", "service"}}); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	loopback := func(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }
	for kind, url := range map[string]string{
		"compute": loopback(s.compute.nova) + "/v2.1", "placement": loopback(s.compute.placement), "image": loopback(s.compute.glance),
	} {
		if err := s.endpoints(ctx, kind, url); err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
	}
	return nil
}

// startRabbit starts RabbitMQ as its own script does, with its port mapper on a
// port of ours. All of it is on loopback, and its files are the run's.
func (s *stack) startRabbit(ctx context.Context) error {
	p, dir := s.compute, s.path("compute/rabbit")
	env := []string{
		"HOME=" + dir, "ERL_EPMD_PORT=" + strconv.Itoa(p.epmd), "ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME=conformance@localhost", "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "RABBITMQ_NODE_PORT=" + strconv.Itoa(p.rabbit),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(p.rabbitDist), "RABBITMQ_MNESIA_BASE=" + dir, "RABBITMQ_LOG_BASE=" + dir, "RABBITMQ_LOGS=-",
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"), "RABBITMQ_CONF_ENV_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq"), "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		// It would start its port mapper as a daemon that nobody ends.
		"RABBITMQ_SERVER_START_ARGS=-start_epmd false",
	}
	if err := os.WriteFile(filepath.Join(dir, "plugins"), []byte("[].\n"), 0o600); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	mapper, err := s.start(ctx, command{name: "epmd", argv: []string{"epmd"}, env: env})
	if err != nil {
		return err
	}
	if err := mapper.await(ctx, time.Minute, func(ctx context.Context) error { return listens(ctx, p.epmd) }); err != nil {
		return err
	}
	found, err := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server")
	if err != nil || len(found) == 0 {
		return errors.New("compute: the package rabbitmq-server is not installed: run make conformance")
	}
	rabbit, err := s.start(ctx, command{name: "rabbitmq", argv: found[:1], env: env})
	if err != nil {
		return err
	}
	return rabbit.await(ctx, time.Minute, func(ctx context.Context) error { return listens(ctx, p.rabbit) })
}

func (s *stack) startPlacement(ctx context.Context) error {
	address := "127.0.0.1:" + strconv.Itoa(s.compute.placement)
	p, err := s.start(ctx, command{name: "placement", argv: []string{
		"uwsgi", "--plugins", "python3", "--http-socket", address, "--die-on-term", "--need-app",
		"--processes", "1", "--threads", "1", "--enable-threads", "--buffer-size", "65535", "--listen", "100",
		"--add-header", "Connection: close", "--disable-logging", "--wsgi-file", "/usr/bin/placement-api",
	}, env: []string{"OS_PLACEMENT_CONFIG_DIR=" + s.path("compute")}})
	if err != nil {
		return err
	}
	return p.await(ctx, serviceTime, func(ctx context.Context) error {
		_, err := rest{base: "http://" + address}.ask(ctx, "GET /", nil, nil)
		return err
	})
}

func (s *stack) startGlance(ctx context.Context) error {
	p, err := s.start(ctx, command{name: "glance-api", argv: []string{"glance-api", "--config-file", s.path("compute/glance-api.conf")}})
	if err != nil {
		return err
	}
	return p.await(ctx, serviceTime, func(ctx context.Context) error { return listens(ctx, s.compute.glance) })
}

// serviceTime is what a service of Nova may take to start on a busy machine.
const serviceTime = 3 * time.Minute

// startNova starts the services that are not on a host.
func (s *stack) startNova(ctx context.Context) error {
	var api *process
	for _, name := range []string{"nova-api", "nova-conductor", "nova-scheduler"} {
		p, err := s.start(ctx, command{name: name, argv: []string{
			name, "--config-file", s.path("compute/nova.conf"), "--config-file", s.path("compute/nova-databases.conf")}})
		if err != nil {
			return err
		}
		if api == nil {
			api = p
		}
	}
	return api.await(ctx, serviceTime, func(ctx context.Context) error { return listens(ctx, s.compute.nova) })
}

// listens is nil when something takes connections at a loopback port.
func listens(ctx context.Context, port int) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

// startHypervisors starts libvirt and nova-compute on each compute host. What
// they ask is on the machine's loopback; each host has it on its own, and the
// outside too, where tempest is.
func (s *stack) startHypervisors(ctx context.Context) error {
	hosts := 0
	for _, h := range s.hosts.Hosts() {
		if err := s.forward(ctx, h); err != nil {
			return err
		}
		if h.Role != lab.RoleCompute {
			continue
		}
		hosts++
		if err := s.startHypervisor(ctx, h); err != nil {
			return err
		}
	}
	nova, err := s.novaAPI(ctx)
	if err != nil {
		return err
	}
	return until(ctx, serviceTime, func(ctx context.Context) error {
		var found struct {
			Hypervisors []object `json:"hypervisors"`
		}
		_, err := nova.ask(ctx, "GET /os-hypervisors", nil, &found)
		if err != nil || len(found.Hypervisors) != hosts {
			return errors.Join(fmt.Errorf("Nova has %d hypervisors, want %d", len(found.Hypervisors), hosts), err)
		}
		s.say("Nova has %d hypervisors", hosts)
		return nil
	})
}

// novaAPI is Nova's, as admin.
func (s *stack) novaAPI(ctx context.Context) (rest, error) {
	admin, err := s.keystone.login(ctx, adminUser)
	return rest{base: "http://127.0.0.1:" + strconv.Itoa(s.compute.nova) + "/v2.1", token: admin.token}, err
}

// forward gives a host all services of the machine that Nova's need.
func (s *stack) forward(ctx context.Context, h *lab.Host) error {
	p := s.compute
	ports := []int{p.rabbit, p.placement, p.glance, p.nova, p.metadata, portOf(s.keystone.url), portOf(s.network.base)}
	for _, port := range ports {
		stop, err := forwardPort(ctx, h, port)
		if err != nil {
			return err
		}
		s.forwards = append(s.forwards, stop)
	}
	return nil
}

// portOf is the port of an address.
func portOf(address string) int {
	_, rest, _ := strings.Cut(strings.TrimPrefix(address, "http://"), ":")
	number, _, _ := strings.Cut(rest, "/")
	port, _ := strconv.Atoi(number)
	return port
}

// hypervisor is what runs on a compute host: libvirt with its files in the
// host's own directory, without KVM, for an account that is not on the machine.
const hypervisor = `set -e
dir=$1
mkdir -p "$dir/etc/qemu" "$dir/lib" "$dir/cache" "$dir/log"
printf 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nlisten_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\n' >"$dir/etc/libvirtd.conf"
printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'namespaces = [ ]' 'cgroup_controllers = [ ]' \
	'dynamic_ownership = 0' 'remember_owner = 0' 'stdio_handler = "file"' >"$dir/etc/qemu.conf"
for name in passwd group; do
	cp "/etc/$name" "$dir/$name"
done
echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>"$dir/passwd"
echo 'libvirt-qemu:x:64055:' >>"$dir/group"
mount --bind "$dir/passwd" /etc/passwd
mount --bind "$dir/group" /etc/group
for name in etc lib cache log; do
	at=/var/$name/libvirt
	[ "$name" = etc ] && at=/etc/libvirt
	mkdir -p "$at"
	mount --bind "$dir/$name" "$at"
done
# It hangs where there is one that does not work, and tests are to be the same everywhere.
[ ! -e /dev/kvm ] || mount --bind /dev/null /dev/kvm
exec libvirtd --listen
`

// startHypervisor starts libvirt on a host, then nova-compute.
func (s *stack) startHypervisor(ctx context.Context, h *lab.Host) error {
	script := s.path("compute/hypervisor.sh")
	if err := os.WriteFile(script, []byte(hypervisor), 0o700); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	// Each host has disks of its own: libvirt moves no machine between hosts that
	// write one file on a file system that is not made for it.
	disks := filepath.Join(h.Dir(), "instances")
	if err := os.MkdirAll(disks, 0o755); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	if _, err := h.Run(ctx, "mount", "--bind", disks, s.path("compute/instances")); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	if _, err := h.Start(ctx, "libvirtd", "unshare", "--mount", "sh", script, filepath.Join(h.Dir(), "libvirt")); err != nil {
		return err
	}
	err := until(ctx, time.Minute, func(ctx context.Context) error {
		_, err := h.Run(ctx, "virsh", "--connect", "qemu:///system", "version")
		return err
	})
	if err != nil {
		return fmt.Errorf("libvirt: %w:\n%s", err, tail(ctx, h.LogFile("libvirtd")))
	}
	own := filepath.Join(h.Dir(), "nova.conf")
	text := fmt.Sprintf("[DEFAULT]\nmy_ip = %[1]s\n[libvirt]\nlive_migration_inbound_addr = %[1]s\nlive_migration_scheme = tcp\n", h.Address)
	if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
		return fmt.Errorf("compute: %w", err)
	}
	// The package is not installed: it would bring system services along.
	tree, err := s.hosts.Unpacked(ctx, "nova-compute")
	if err != nil {
		return err
	}
	_, err = h.Start(ctx, "nova-compute", filepath.Join(tree, "usr/bin/nova-compute"), "--config-file", s.path("compute/nova.conf"), "--config-file", own)
	return err
}
