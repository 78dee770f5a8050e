package main

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"neutrino/config"
	"neutrino/metadata"
)

// metadataOptions are those of Neutron's metadata_agent.ini that `neutrino
// agent` understands.
var metadataOptions = []config.Option{
	{Section: "DEFAULT", Name: "enable_isolated_metadata", Default: "false", Help: "answer 169.254.169.254 in DHCP namespaces too, where no router does", Check: config.Boolean},
	{Section: "DEFAULT", Name: "nova_metadata_host", Help: "Nova's metadata service; without it the agent answers itself"},
	{Section: "DEFAULT", Name: "nova_metadata_port", Default: "8775", Help: "port of Nova's metadata service", Check: config.Number},
	{Section: "DEFAULT", Name: "nova_metadata_protocol", Default: "http", Help: "how Nova's metadata service is spoken to", Check: config.OneOf("http", "https")},
	{Section: "DEFAULT", Name: "nova_metadata_insecure", Default: "false", Help: "do not check the certificate of Nova's metadata service", Check: config.Boolean},
	{Section: "DEFAULT", Name: "auth_ca_cert", Help: "file with the authorities that sign Nova's certificate"},
	{Section: "DEFAULT", Name: "nova_client_cert", Help: "file with our certificate for Nova"},
	{Section: "DEFAULT", Name: "nova_client_priv_key", Help: "file with the key of our certificate for Nova"},
	{Section: "DEFAULT", Name: "metadata_proxy_shared_secret", Help: "secret that Nova shares; write it in a file that only root reads"},
	{Section: "metadata_rate_limiting", Name: "rate_limit_enabled", Default: "false", Help: "bound how often one instance may ask", Check: config.Boolean},
	{Section: "metadata_rate_limiting", Name: "base_window_duration", Default: "10", Help: "seconds of the base window", Check: config.Number},
	{Section: "metadata_rate_limiting", Name: "base_query_rate_limit", Default: "10", Help: "requests in the base window", Check: config.Number},
	{Section: "metadata_rate_limiting", Name: "burst_window_duration", Default: "10", Help: "seconds of the burst window", Check: config.Number},
	{Section: "metadata_rate_limiting", Name: "burst_query_rate_limit", Default: "10", Help: "requests in the burst window", Check: config.Number},
}

// metadataService is how the agent answers instances.
func metadataService(v *config.Values) (metadata.Options, error) {
	var o metadata.Options
	if v.Bool("metadata_rate_limiting", "rate_limit_enabled") {
		o.Limits.Base = rate(v, "base_query_rate_limit", "base_window_duration")
		o.Limits.Burst = rate(v, "burst_query_rate_limit", "burst_window_duration")
	}
	to := v.String("DEFAULT", "nova_metadata_host")
	if to == "" {
		return o, nil
	}
	o.Nova = &metadata.Nova{
		Protocol: v.String("DEFAULT", "nova_metadata_protocol"), Secret: v.String("DEFAULT", "metadata_proxy_shared_secret"),
		Address: net.JoinHostPort(to, v.String("DEFAULT", "nova_metadata_port")),
	}
	if o.Nova.Secret == "" {
		slog.Warn("[DEFAULT] metadata_proxy_shared_secret is empty: whoever reaches Nova's metadata service can ask for any instance")
	}
	if o.Nova.Protocol != "https" {
		return o, nil
	}
	var err error
	o.Nova.TLS, err = novaTLS(v)
	return o, err
}

// tokenKeyLen is the length of the key that signs session tokens, in bytes.
const tokenKeyLen = 32

// tokenKey is the key of the host's session tokens: they outlive the agent. On
// a disk that is full they do not, which is no reason not to start.
func tokenKey(statePath string) []byte {
	file := filepath.Join(statePath, "metadata-token.key")
	key, err := os.ReadFile(file)
	if err == nil && len(key) == tokenKeyLen {
		return key
	}
	key = make([]byte, tokenKeyLen)
	_, _ = rand.Read(key) // it never fails (crypto/rand)
	if err := os.WriteFile(file, key, 0o600); err != nil {
		slog.Warn("metadata: session tokens end with this process: their key cannot be kept", "error", err)
	}
	return key
}

func rate(v *config.Values, requests, window string) metadata.Rate {
	const section = "metadata_rate_limiting"
	return metadata.Rate{Requests: v.Int(section, requests), Window: time.Duration(v.Int(section, window)) * time.Second}
}

func novaTLS(v *config.Values) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: v.Bool("DEFAULT", "nova_metadata_insecure")}
	if file := v.String("DEFAULT", "auth_ca_cert"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("[DEFAULT] auth_ca_cert: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[DEFAULT] auth_ca_cert: %s holds no certificate", file)
		}
	}
	cert, key := v.String("DEFAULT", "nova_client_cert"), v.String("DEFAULT", "nova_client_priv_key")
	switch {
	case cert == "" && key == "":
		return c, nil
	case cert == "" || key == "":
		return nil, errors.New("[DEFAULT] nova_client_cert and nova_client_priv_key: set both, or none")
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("[DEFAULT] nova_client_cert: %w", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}
