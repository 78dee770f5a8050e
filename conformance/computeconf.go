package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// computePorts are the loopback ports of the compute services of a run, chosen
// before anything starts: hosts and services name each other's.
type computePorts struct {
	rabbit, rabbitDist, epmd, placement, glance, nova, metadata int
}

func choosePorts(ctx context.Context) (computePorts, error) {
	p, err := freePorts(ctx, 7)
	if err != nil {
		return computePorts{}, err
	}
	return computePorts{p[0], p[1], p[2], p[3], p[4], p[5], p[6]}, nil
}

// metadataSecret is what Nova and the agents share.
const metadataSecret = "shared"

// credentials are the options of an account of a service, for keystoneauth.
func (s *stack) credentials(user string) string {
	return fmt.Sprintf(`auth_type = password
auth_url = %s
username = %s
password = %s
project_name = service
user_domain_name = %s
project_domain_name = %s
region_name = %s
`, s.keystone.url, user, password, domain, domain, region)
}

// database is the address of one of the databases that a directory has: see
// [stack.startDatabase].
func database(dir, name string) string {
	return "mysql+pymysql://root@localhost/" + name + "?charset=utf8&unix_socket=" + databaseSocket(dir)
}

// novaConf is the configuration of Nova's services. An instance whose port is
// not reported within a minute fails, as in production after five.
func (s *stack) novaConf() string {
	p := s.compute
	return fmt.Sprintf(`# Written by neutrino's conformance run.
[DEFAULT]
state_path = %[1]s
instances_path = %[1]s/instances
transport_url = rabbit://guest:guest@127.0.0.1:%[2]d/
compute_driver = libvirt.LibvirtDriver
enabled_apis = osapi_compute,metadata
osapi_compute_listen = 127.0.0.1
osapi_compute_listen_port = %[3]d
osapi_compute_workers = 1
metadata_listen = 127.0.0.1
metadata_listen_port = %[4]d
metadata_workers = 1
vif_plugging_is_fatal = true
vif_plugging_timeout = 60
reserved_host_memory_mb = 0
reserved_host_disk_mb = 0
cpu_allocation_ratio = 32
ram_allocation_ratio = 4
report_interval = 10
service_down_time = 120
rpc_response_timeout = 120
my_ip = 127.0.0.1

[wsgi]
api_paste_config = /etc/nova/api-paste.ini

[conductor]
workers = 1

[scheduler]
workers = 1
discover_hosts_in_cells_interval = 2

[oslo_concurrency]
lock_path = %[1]s/lock

%[5]s[vnc]
enabled = false

[glance]
api_servers = http://127.0.0.1:%[6]d

[keystone_authtoken]
www_authenticate_uri = %[7]s
%[8]s
[service_user]
send_service_user_token = true
%[8]s
[placement]
%[8]s
[neutron]
service_metadata_proxy = true
metadata_proxy_shared_secret = %[9]s
%[8]s`, s.path("compute"), p.rabbit, p.nova, p.metadata, s.hypervisorConf(), p.glance, s.keystone.url, s.credentials("nova"), metadataSecret)
}

// hypervisorConf is what nova-compute, os-vif and its helpers read.
func (s *stack) hypervisorConf() string {
	return fmt.Sprintf(`[libvirt]
virt_type = qemu
cpu_mode = none
hw_machine_type = x86_64=pc
inject_partition = -2
# Emulated hosts take their time.
wait_soft_reboot_seconds = 5

[os_vif_ovs]
ovsdb_connection = unix:/run/openvswitch/db.sock

[vif_plug_ovs_privileged]
helper_command = privsep-helper --config-file %[1]s

[vif_plug_linux_bridge_privileged]
helper_command = privsep-helper --config-file %[1]s

[nova_sys_admin]
helper_command = privsep-helper --config-file %[1]s

`, s.path("compute/nova.conf"))
}

// novaDatabases is what those of Nova's services read too that are not on a host:
// nova-compute may not know a database.
func (s *stack) novaDatabases() string {
	return fmt.Sprintf("[api_database]\nconnection = %s\n\n[database]\nconnection = %s\n", database(s.path("compute"), "nova_api"), database(s.path("compute"), "nova"))
}

func (s *stack) placementConf() string {
	return fmt.Sprintf("# Written by neutrino's conformance run.\n[placement_database]\nconnection = %s\n\n"+
		"[api]\nauth_strategy = keystone\n\n[keystone_authtoken]\nwww_authenticate_uri = %s\n%s",
		database(s.path("compute"), "placement"), s.keystone.url, s.credentials("placement"))
}

func (s *stack) glanceConf() string {
	return fmt.Sprintf(`# Written by neutrino's conformance run.
[DEFAULT]
bind_host = 127.0.0.1
bind_port = %d
workers = 0

[database]
connection = %s

[glance_store]
stores = file
default_store = file
filesystem_store_datadir = %s

[paste_deploy]
flavor = keystone
config_file = /etc/glance/glance-api-paste.ini

[keystone_authtoken]
www_authenticate_uri = %s
%s`, s.compute.glance, database(s.path("compute"), "glance"), s.path("compute/images"), s.keystone.url, s.credentials("glance"))
}

// writeComputeConf writes what the compute services read.
func (s *stack) writeComputeConf() error {
	for name, text := range map[string]string{
		"nova.conf": s.novaConf(), "nova-databases.conf": s.novaDatabases(), "placement.conf": s.placementConf(), "glance-api.conf": s.glanceConf(),
	} {
		if err := os.WriteFile(s.path("compute", name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("compute: %w", err)
		}
	}
	return nil
}

// computeTemplate is a directory with the empty databases of the compute
// services, made once for each version of Nova.
func (s *stack) computeTemplate(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${Version}", "python3-nova").Output()
	if err != nil {
		return "", fmt.Errorf("the package python3-nova is not installed: run make conformance: %w", err)
	}
	return s.template(ctx, "nova-"+string(version), s.fillComputeTemplate)
}

// fillComputeTemplate makes the databases. The cells name theirs, and the message
// bus, as whoever reads them has them in its own configuration.
func (s *stack) fillComputeTemplate(ctx context.Context, dir string) (err error) {
	s.say("making the databases of Nova, Placement and Glance, once")
	server, err := s.startDatabase(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop(context.WithoutCancel(ctx))) }()
	conf := filepath.Join(dir, "template.conf")
	text := fmt.Sprintf("[DEFAULT]\nstate_path = %[1]s\ntransport_url = rabbit://guest:guest@127.0.0.1:1/\n[api_database]\nconnection = %[2]s\n"+
		"[database]\nconnection = %[3]s\n[oslo_concurrency]\nlock_path = %[1]s\n", dir, database(dir, "nova_api"), database(dir, "nova"))
	placement := "[placement_database]\nconnection = " + database(dir, "placement") + "\n"
	glance := "[database]\nconnection = " + database(dir, "glance") + "\n"
	for name, text := range map[string]string{"template.conf": text, "placement-template.conf": placement, "glance-template.conf": glance} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	const here = "{scheme}://{username}@{hostname}/{path}"
	for _, argv := range [][]string{
		{"nova-manage", "--config-file", conf, "api_db", "sync"},
		{"nova-manage", "--config-file", conf, "cell_v2", "map_cell0", "--database_connection", here + "_cell0?{query}"},
		{"nova-manage", "--config-file", conf, "db", "sync"},
		{"nova-manage", "--config-file", conf, "cell_v2", "create_cell", "--name", "cell1",
			"--database_connection", here + "?{query}", "--transport-url", "{scheme}://{username}:{password}@{hostname}:{port}/"},
		{"placement-manage", "--config-file", filepath.Join(dir, "placement-template.conf"), "db", "sync"},
		{"glance-manage", "--config-file", filepath.Join(dir, "glance-template.conf"), "db_sync"},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w:\n%s", argv[0], err, lastLines(string(out), tailLines))
		}
	}
	return nil
}

// databaseSocket is where the database of a directory is reached.
func databaseSocket(dir string) string { return filepath.Join(dir, "database.sock") }

// startDatabase starts Debian's MariaDB on a directory: SQLite has no turns for
// services that read and then write. It is reached by a socket in the directory
// and knows no accounts.
func (s *stack) startDatabase(ctx context.Context, dir string) (*process, error) {
	data, script := filepath.Join(dir, "database"), filepath.Join(dir, "database.sql")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	var statements strings.Builder
	for _, name := range []string{"nova_api", "nova", "nova_cell0", "placement", "glance"} {
		fmt.Fprintf(&statements, "CREATE DATABASE IF NOT EXISTS %s CHARACTER SET utf8mb3;\n", name)
	}
	if err := os.WriteFile(script, []byte(statements.String()), 0o600); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	p, err := s.start(ctx, command{name: "mariadb", argv: []string{
		"mariadbd", "--no-defaults", "--user=root", "--datadir=" + data, "--socket=" + databaseSocket(dir), "--pid-file=" + filepath.Join(dir, "database.pid"),
		"--skip-networking", "--skip-grant-tables", "--init-file=" + script, "--max-connections=500",
		// What it holds ends with the run.
		"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0",
	}})
	if err != nil {
		return nil, err
	}
	return p, p.await(ctx, time.Minute, func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", databaseSocket(dir))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
