package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"neutrino"
	"neutrino/lab"
)

// serverConf is the server's neutron.conf, as an operator writes it.
func (s *stack) serverConf(port int) string {
	return fmt.Sprintf(`# Written by neutrino's conformance run.
[DEFAULT]
bind_host = 127.0.0.1
bind_port = %[1]d
state_path = %[2]s
auth_strategy = keystone

[database]
connection = sqlite:///%[2]s/neutron.sqlite

[keystone_authtoken]
www_authenticate_uri = %[3]s
auth_url = %[3]s
auth_type = password
username = %[4]s
password = %[5]s
project_name = service
user_domain_name = %[6]s
project_domain_name = %[6]s

[nova]
%[8]s
[neutrino]
feed_listen = unix:%[7]s
`, port, s.path("server"), s.keystone.url, serviceUser, password, domain, s.feed(), s.credentials(serviceUser))
}

// feed is the socket where the agents reach the server.
func (s *stack) feed() string { return s.path("feed.sock") }

// startServer starts the program under test and enters it into the catalog.
func (s *stack) startServer(ctx context.Context) error {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return err
	}
	endpoint := "http://127.0.0.1:" + strconv.Itoa(ports[0])
	if err := s.catalog(ctx, endpoint); err != nil {
		return err
	}
	conf := s.path("neutron.conf")
	if err := os.WriteFile(conf, []byte(s.serverConf(ports[0])), 0o600); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	p, err := s.start(ctx, command{name: "server", argv: []string{s.binary, "server", "--config-file", conf}})
	if err != nil {
		return err
	}
	admin, err := s.keystone.login(ctx, adminUser)
	if err != nil {
		return err
	}
	s.network = rest{base: endpoint, token: admin.token}
	err = p.await(ctx, 20*time.Second, func(ctx context.Context) error {
		_, err := s.network.list(ctx, "/v2.0/networks", "")
		return err
	})
	if err != nil {
		return err
	}
	// The server that lets everybody in would pass much of what follows.
	if _, err := (rest{base: endpoint, token: "nobody"}).list(ctx, "/v2.0/networks", ""); err == nil {
		return errors.New("server: it takes a token that Keystone never gave")
	}
	s.say("neutrino answers at %s to tokens of Keystone", endpoint)
	return nil
}

// labDir is the place of the hosts in a run's directory.
const labDir = "lab"

// startHosts brings up a network host and a compute host with their agents,
// and waits until the API lists one of each type as alive.
func (s *stack) startHosts(ctx context.Context) error {
	settings := lab.Settings{Name: "conformance", Dir: s.path(labDir), Binary: s.binary, Feed: s.feed()}
	if slices.Contains(s.parts, partNova) {
		settings.Computes = 2 // an instance moves from one to the other
		settings.AgentOptions = "nova_metadata_host = 127.0.0.1\nnova_metadata_port = " + strconv.Itoa(s.compute.metadata) +
			"\nmetadata_proxy_shared_secret = " + metadataSecret
	}
	hosts, err := lab.New(ctx, settings)
	if err != nil {
		return err
	}
	s.hosts = hosts
	if err := hosts.UpHosts(ctx); err != nil {
		return err
	}
	return until(ctx, 20*time.Second, func(ctx context.Context) error {
		missing, err := s.missingAgents(ctx)
		if err != nil || len(missing) > 0 {
			return errors.Join(fmt.Errorf("no living agents of the types %q", missing), err)
		}
		s.say("agents of all types are alive on %d hosts", len(hosts.Hosts()))
		return nil
	})
}

func (s *stack) missingAgents(ctx context.Context) ([]string, error) {
	agents, err := s.network.list(ctx, "/v2.0/agents", "?alive=true")
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, kind := range []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3, neutrino.AgentMetadata} {
		if !slices.ContainsFunc(agents, func(a object) bool { return a.text("agent_type") == kind }) {
			missing = append(missing, kind)
		}
	}
	return missing, nil
}

// The external network, which clients find by its name.
const publicNetwork = "public"

// makePublic makes the external network, with room for many addresses.
func (s *stack) makePublic(ctx context.Context) error {
	net, err := s.network.create(ctx, "/v2.0/networks", object{
		"name": publicNetwork, "router:external": true,
		"provider:network_type": neutrino.Flat, "provider:physical_network": lab.PhysicalNetwork,
	})
	if err != nil {
		return fmt.Errorf("external network: %w", err)
	}
	s.public = net.text("id")
	outside, err := s.hosts.Host(lab.RoleOutside)
	if err != nil {
		return fmt.Errorf("external network: %w", err)
	}
	// The lab's own public network is smaller.
	for _, command := range []string{"del " + lab.OutsideGateway + "/28", "add 172.24.4.1/24"} {
		argv := append([]string{"ip", "address"}, strings.Fields(command+" dev eth0")...)
		if _, err := outside.Run(ctx, argv...); err != nil {
			return fmt.Errorf("external network: %w", err)
		}
	}
	// Tests of others look for the names that DevStack gives.
	for name, cidr := range map[string]string{"public-subnet": "172.24.4.0/24", "ipv6-public-subnet": "2001:db8::/64"} {
		version := 4
		if strings.Contains(cidr, ":") {
			version = 6
		}
		_, err := s.network.create(ctx, "/v2.0/subnets", object{
			"network_id": s.public, "ip_version": version, "cidr": cidr, "enable_dhcp": false, "name": name,
		})
		if err != nil {
			return fmt.Errorf("external network: %w", err)
		}
	}
	return nil
}
