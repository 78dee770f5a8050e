package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"neutrino/vif"
)

func vifCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vif",
		Short: "Plug and unplug interfaces, as os-vif does for Nova",
	}
	cmd.AddCommand(plugCommand(), unplugCommand())
	return cmd
}

// vifFlags are the flags that plug and unplug share.
func vifFlags(cmd *cobra.Command, o *vif.Options) {
	cmd.Flags().StringVar(&o.PortID, "port", "", "id of the port")
	cmd.Flags().StringVar(&o.Bridge, "bridge", "br-int", "integration bridge")
	cmd.Flags().StringVar(&o.OVSDBSocket, "ovsdb", "unix:/run/openvswitch/db.sock", "address of ovsdb-server")
	_ = cmd.MarkFlagRequired("port") // the flag exists
}

func plugCommand() *cobra.Command {
	var o vif.Options
	var kind string
	cmd := &cobra.Command{
		Use:   "plug --port ID --mac MAC --mtu BYTES --instance UUID",
		Short: "Make tap, firewall bridge and veth pair of a port, and add it to the integration bridge",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch kind {
			case "vm":
				o.Tap.Kind = vif.TapTun
			case "namespace":
				o.Tap.Kind = vif.TapNamespace
			default:
				return fmt.Errorf("--kind %q: write vm or namespace", kind)
			}
			return vif.Plug(cmd.Context(), o)
		},
	}
	vifFlags(cmd, &o)
	cmd.Flags().StringVar(&o.MAC, "mac", "", "MAC address of the instance's interface")
	cmd.Flags().IntVar(&o.MTU, "mtu", 1500, "MTU of the network, bytes")
	cmd.Flags().StringVar(&o.InstanceID, "instance", "", "id of the instance (vm-uuid)")
	cmd.Flags().StringVar(&kind, "kind", "vm", "vm (a tap device) or namespace (a veth pair into --netns)")
	cmd.Flags().StringVar(&o.Tap.NetNS, "netns", "", "namespace of a light instance, by its name")
	_ = cmd.MarkFlagRequired("mac") // the flag exists
	return cmd
}

func unplugCommand() *cobra.Command {
	var o vif.Options
	cmd := &cobra.Command{
		Use:   "unplug --port ID",
		Short: "Take away what plug made; nothing to do is no error",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return vif.Unplug(cmd.Context(), o)
		},
	}
	vifFlags(cmd, &o)
	return cmd
}
