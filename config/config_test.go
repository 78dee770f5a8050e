package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"neutrino/config"
)

func load(t *testing.T, text string, args ...string) (*config.Values, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "neutron.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set := &config.Set{Options: []config.Option{
		{Section: "DEFAULT", Name: "state_path", Default: "/var/lib/neutron"},
		{Section: "DEFAULT", Name: "bind_port", Default: "9696", Check: config.Number},
		{Section: "database", Name: "connection", Default: "sqlite:///$state_path/neutron.sqlite"},
		{Section: "ml2", Name: "project_network_types", Old: "tenant_network_types", Default: "gre"},
	}}
	cmd := &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { return nil }}
	set.Flags(cmd)
	cmd.SetArgs(append([]string{"--config-file", file}, args...))
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	return set.Load(cmd)
}

// A Neutron file is read with its own names; what is not for us is named.
func TestNeutronFile(t *testing.T) {
	v, err := load(t, "[DEFAULT]\nstate_path = /srv/n\ncore_plugin = ml2\n[ml2]\ntenant_network_types = vxlan, gre\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := v.String("database", "connection"); got != "sqlite:////srv/n/neutron.sqlite" {
		t.Errorf("connection = %q", got)
	}
	if got := strings.Join(v.List("ml2", "project_network_types"), "+"); got != "vxlan+gre" {
		t.Errorf("types = %q", got)
	}
	if got := strings.Join(v.Warnings, "; "); !strings.Contains(got, "core_plugin is not used") || !strings.Contains(got, "called project_network_types now") {
		t.Errorf("warnings: %s", got)
	}
}

// Flags win over the environment, the environment over files.
func TestFlagsWinOverEnvironmentOverFiles(t *testing.T) {
	t.Setenv("NEUTRINO_BIND_PORT", "2")
	v, err := load(t, "[DEFAULT]\nbind_port = 1\n")
	if err != nil || v.Int("DEFAULT", "bind_port") != 2 {
		t.Errorf("environment: %v %v", v, err)
	}
	v, err = load(t, "[DEFAULT]\nbind_port = 1\n", "--bind-port", "3")
	if err != nil || v.Int("DEFAULT", "bind_port") != 3 {
		t.Errorf("flag: %v %v", v, err)
	}
}

// A bad value is refused by the name of its option and says what to write.
func TestBadValueNamesTheOption(t *testing.T) {
	_, err := load(t, "[DEFAULT]\nbind_port = many\n")
	if err == nil || !strings.Contains(err.Error(), "[DEFAULT] bind_port") || !strings.Contains(err.Error(), "whole number") {
		t.Errorf("error: %v", err)
	}
	_, err = load(t, "[DEFAULT]\nstate_path = $nowhere/x\n")
	if err == nil || !strings.Contains(err.Error(), "$nowhere") {
		t.Errorf("error: %v", err)
	}
}
