package iptables

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// CheckBridgeNetfilter reports why bridged frames would pass by the rules of
// our chains, with the remedy; nil when they do not. The settings belong to the
// network namespace and some distributions reset them after an update
// (CVE-2017-7543), so it is worth asking again.
func CheckBridgeNetfilter(ctx context.Context) error {
	var errs []error
	for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := os.ReadFile("/proc/sys/net/bridge/" + name)
		if errors.Is(err, os.ErrNotExist) {
			return errors.New("iptables: the kernel does not show bridged frames to iptables: " +
				"load the module with \"modprobe br_netfilter\" and name it in /etc/modules-load.d")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("iptables: reading net.bridge.%s: %w", name, err))
		} else if got := strings.TrimSpace(string(value)); got != "1" {
			errs = append(errs, fmt.Errorf("iptables: net.bridge.%s is %s: security groups do not act; "+
				"set it with \"sysctl -w net.bridge.%s=1\" and in /etc/sysctl.d", name, got, name))
		}
	}
	return errors.Join(errs...)
}
