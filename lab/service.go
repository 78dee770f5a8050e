package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// feedSocket is where the agents reach the server. It lies in the lab's
// directory, which every host sees, unless the server is somebody else's.
func (l *Lab) feedSocket() string {
	if feed := l.snapshot().Settings.Feed; feed != "" {
		return feed
	}
	return l.path("feed.sock")
}

// serverConfig is the controller's neutron.conf.
func (h *Host) serverConfig() string {
	return fmt.Sprintf(`# Written by neutrino lab.
[DEFAULT]
host = %s
bind_host = 127.0.0.1
bind_port = %d
state_path = %s
auth_strategy = noauth

[database]
connection = sqlite:///%s

# A lab is for crowds, all in one project.
[quotas]
quota_network = -1
quota_subnet = -1
quota_port = -1
quota_router = -1
quota_floatingip = -1
quota_security_group = -1
quota_security_group_rule = -1
quota_rbac_policy = -1
quota_subnetpool = -1
quota_address_scope = -1
quota_port_forwarding = -1
quota_metering_label = -1
quota_metering_label_rule = -1

[neutrino]
feed_listen = unix:%s
`, h.Name, DefaultAPIPort, stateDir, filepath.Join(stateDir, "neutron.sqlite"), h.lab.feedSocket())
}

// agentConfig is the neutron.conf of a host with an agent.
func (h *Host) agentConfig() string {
	services, mappings := "openvswitch", ""
	switch {
	case h.Role == RoleNetwork && h.lab.snapshot().Settings.Bare:
		services = "openvswitch,dhcp"
	case h.Role == RoleNetwork:
		services = "openvswitch,dhcp,l3,metadata"
	}
	if h.hasBridge() {
		mappings = "\nbridge_mappings = " + PhysicalNetwork + ":" + ProviderBridge
	}
	return fmt.Sprintf(`# Written by neutrino lab.
[DEFAULT]
host = %s
state_path = %s
%s

[ovs]
datapath_type = netdev
integration_bridge = br-int
tunnel_bridge = br-tun
local_ip = %s%s

[agent]
tunnel_types = gre,vxlan,geneve

[neutrino]
feed_server = unix:%s
services = %s
`, h.Name, stateDir, h.lab.snapshot().Settings.AgentOptions, h.Address, mappings, h.lab.feedSocket(), services)
}

const configFile = "neutron.conf"

// startServer starts the controller's server with two listening sockets for
// the API: one made inside the host, and one made in the machine's root
// namespace, so that clients on the machine reach it too.
func (h *Host) startServer(ctx context.Context) error {
	conf, err := h.write(ctx, configFile, h.serverConfig())
	if err != nil {
		return err
	}
	outside, err := h.lab.listenOutside(ctx)
	if err != nil {
		return err
	}
	defer outside.Close()
	argv := []string{h.lab.Binary, "server", "--config-file", conf}
	// systemd's protocol wants the receiver's own pid in LISTEN_PID
	// (sd_listen_fds(3)): the shell knows it, and exec keeps it.
	cmd := exec.Command("nsenter", h.enter(append([]string{
		"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh"}, argv...))...)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=api")
	cmd.ExtraFiles = []*os.File{outside}
	if _, err := h.lab.launch(ctx, cmd, h.process(processServer, argv)); err != nil {
		return h.fail(ctx, processServer, err)
	}
	return nil
}

// listenOutside makes the listening socket in the namespace that we are in,
// on the recorded port, and records the port if any would do.
func (l *Lab) listenOutside(ctx context.Context) (*os.File, error) {
	port := l.snapshot().APIPort
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("lab: listen for the API: %w (choose another port with --api-port, 0 for any)", err)
	}
	defer ln.Close()
	tcp, ok := ln.(*net.TCPListener)
	if !ok {
		return nil, errors.New("lab: listen for the API: not a TCP listener")
	}
	f, err := tcp.File()
	if err != nil {
		return nil, fmt.Errorf("lab: listen for the API: %w", err)
	}
	_, text, err := net.SplitHostPort(ln.Addr().String())
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err == nil {
		err = l.record(ctx, func(st *state) { st.APIPort = port })
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lab: listen for the API: %w", err)
	}
	return f, nil
}

// awaitServer waits until the API answers, and fails at once when the server
// has ended.
func (h *Host) awaitServer(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return h.fail(ctx, processServer, h.awaitUnlessDead(wait, processServer, func() error {
		_, err := h.lab.Client().List(wait, "networks", nil)
		return err
	}))
}

// awaitUnlessDead polls; the death of the process ends the wait.
func (h *Host) awaitUnlessDead(ctx context.Context, process string, ask func() error) error {
	var dead error
	err := poll(ctx, 20*time.Millisecond, func() error {
		if p, err := h.Process(process); err != nil || !p.Alive(ctx) {
			dead = fmt.Errorf("lab: %s: %s has ended", h.Name, process)
			return nil
		}
		return ask()
	})
	return errors.Join(dead, err)
}

// startAgent starts the host's agent.
func (h *Host) startAgent(ctx context.Context) error {
	conf, err := h.write(ctx, configFile, h.agentConfig())
	if err != nil {
		return err
	}
	_, err = h.Start(ctx, processAgent, h.lab.Binary, "agent", "--config-file", conf)
	return h.fail(ctx, processAgent, err)
}

// awaitAgent waits until the API lists the host's agents as alive.
func (h *Host) awaitAgent(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return h.fail(ctx, processAgent, h.awaitUnlessDead(wait, processAgent, func() error {
		agents, err := h.lab.Client().List(wait, "agents", Query{"host": h.Name})
		if err != nil {
			return err
		}
		for _, a := range agents {
			if a.Bool("alive") {
				return nil
			}
		}
		return fmt.Errorf("lab: %s: the API lists no living agent of this host", h.Name)
	}))
}

// checkBinary refuses a binary without the subcommands that hosts run.
func (l *Lab) checkBinary(ctx context.Context) error {
	for _, sub := range []string{"server", "agent", "vif"} {
		out, err := exec.CommandContext(ctx, l.Binary, sub, "--help").CombinedOutput()
		if err != nil {
			return fmt.Errorf("lab: %s %s --help: %w: %s (build it with make build)",
				l.Binary, sub, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}
