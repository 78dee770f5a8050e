package check

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sync/errgroup"

	"neutrino/lab"
)

// client runs one of OpenStack's clients on the machine against the lab's API.
func (c *Cloud) client(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+c.lab.Endpoint())
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (c *Cloud) openstack(ctx context.Context, argv ...string) (string, error) {
	return c.client(ctx, append([]string{"openstack"}, argv...)...)
}

// command is a command of the seed on the host where it is typed.
type command struct{ on, text string }

// shellCommands are the seed's, in its order, with the lab's names.
var shellCommands = []command{
	{"compute", "iptables -S | grep tap$p11"},
	{"compute", "ovs-vsctl show"},
	{"compute", "ovs-ofctl dump-flows br-tun"},
	{"compute", "ovs-ofctl show br-tun"},
	{"network", "ovs-ofctl dump-flows br-tun"},
	{"network", "ovs-vsctl show"},
	{"network", "ip netns"},
	{"network", "ip netns exec $ns ip addr"},
	{"network", "ps -fe | grep $net"},
	{"router", "ip netns"},
	{"router", "ip netns exec $rns ip addr"},
	{"router", "ip netns exec $rns ip route"},
	{"router", "ip netns exec $rns iptables -t nat -S"},
}

// oldVerbs and newVerbs are the seed's verbs in the old client and in the new,
// and what puts things back between them.
var oldVerbs = []string{
	"neutron security-group-rule-create --protocol tcp --port-range-min 22 --port-range-max 22 --direction ingress default",
	"neutron net-create check-neutron",
	"neutron router-create check-neutron",
	"neutron router-gateway-set check-neutron public",
	"neutron router-gateway-clear check-neutron",
	"neutron router-delete check-neutron",
	"neutron net-delete check-neutron",
}

var newVerbs = []string{
	"openstack network create check-openstack",
	"openstack router create check-openstack",
	"openstack router set --external-gateway public check-openstack",
	"openstack router unset --external-gateway check-openstack",
	"openstack router delete check-openstack",
	"openstack network delete check-openstack",
	"openstack security group rule create --protocol tcp --dst-port 8023:8023 --ingress default",
	"openstack floating ip list",
	"openstack network agent list",
}

// seedCommands runs all of them; each must end with 0. The commands of the two
// ways out are run when the lab changes from one to the other.
func seedCommands(ctx context.Context, c *Cloud) (string, error) {
	for _, s := range shellCommands {
		if out, err := c.sh(ctx, s.on, s.text); err != nil || out == "" {
			return c.expand(s.text), errors.Join(err, fmt.Errorf("on %s: printed %q", s.on, brief(out)))
		}
	}
	for _, u := range []lab.Uplink{lab.UplinkNAT, lab.UplinkNIC} {
		if err := c.uplink(ctx, u); err != nil {
			return "", err
		}
	}
	if err := c.dropGroups(ctx); err != nil { // "default" must name one group
		return "", err
	}
	// The seed's rule exists already: it is made anew.
	err := c.withoutRules(ctx, lab.Query{"protocol": "tcp", "port_range_min": "22"}, func(ctx context.Context) error {
		err := c.runVerbs(ctx)
		rules, e := c.rules(ctx, lab.Query{"port_range_min": "8023"})
		for _, r := range rules {
			e = errors.Join(e, c.lab.Client().Delete(ctx, "security-group-rules", r.ID()))
		}
		return errors.Join(err, e)
	})
	return fmt.Sprintf("%d shell commands, 5 of the ways out and %d client verbs: all 0", len(shellCommands), len(oldVerbs)+len(newVerbs)), err
}

// runVerbs runs both clients side by side: each spends its time on starting.
func (c *Cloud) runVerbs(ctx context.Context) error {
	clients, ctx := errgroup.WithContext(ctx)
	for _, verbs := range [][]string{oldVerbs, newVerbs} {
		clients.Go(func() error {
			for _, v := range verbs {
				if _, err := c.client(ctx, strings.Fields(v)...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return clients.Wait()
}
