package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// requirements are the programs that a lab runs and Debian's packages of them.
var requirements = [...]struct{ program, pkg string }{
	{"nsenter", "util-linux"},
	{"ip", "iproute2"},
	{"ovsdb-tool", "openvswitch-common"},
	{"ovs-ofctl", "openvswitch-common"},
	{"ovs-vsctl", "openvswitch-switch"},
	{"ovsdb-server", "openvswitch-switch"},
	{"ovs-vswitchd", "openvswitch-switch"},
	{"dnsmasq", "dnsmasq-base"},
	{"iptables-restore", "iptables"},
	{"ipset", "ipset"},
	{"conntrack", "conntrack"},
	{"ethtool", "ethtool"},
	{"busybox", "busybox-static"},
	{"qemu-system-x86_64", "qemu-system-x86"},
}

// bridgeFilterSwitch appears when the kernel can pass bridged frames through
// iptables.
const bridgeFilterSwitch = "/proc/sys/net/bridge/bridge-nf-call-iptables"

// checkRequirements says all that is missing at once.
func (l *Lab) checkRequirements(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("lab: namespaces need root: run it with sudo")
	}
	var programs, packages []string
	for _, r := range requirements {
		if _, err := exec.LookPath(r.program); err == nil {
			continue
		}
		programs = append(programs, r.program)
		if !slices.Contains(packages, r.pkg) {
			packages = append(packages, r.pkg)
		}
	}
	if len(programs) > 0 {
		return fmt.Errorf("lab: missing: %s; install them with: apt-get install %s",
			strings.Join(programs, ", "), strings.Join(packages, " "))
	}
	if _, err := os.Stat(bridgeFilterSwitch); err != nil {
		// Best effort: where modules cannot be loaded, the holder says what is wrong.
		if out, err := exec.CommandContext(ctx, "modprobe", "br_netfilter").CombinedOutput(); err != nil {
			l.say("modprobe br_netfilter: %s", strings.TrimSpace(string(out)))
		}
	}
	return nil
}
