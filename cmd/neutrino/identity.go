package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"neutrino/api"
	"neutrino/api/door"
	"neutrino/auth"
	"neutrino/config"
	"neutrino/feed"
)

// The values of [DEFAULT] auth_strategy.
const (
	strategyNone     = "noauth"
	strategyBasic    = "http_basic"
	strategyKeystone = "keystone"
)

// The options of [neutrino] that open a door beyond this machine to everybody.
const (
	allowOpenAPI  = "allow_unauthenticated_api"
	allowOpenFeed = "allow_unauthenticated_feed"
)

// identityOptions are what the server understands of who its callers are and
// what they may do, with the names of other OpenStack services.
func identityOptions() []config.Option {
	const identity = "keystone_authtoken"
	return []config.Option{
		{Section: "DEFAULT", Name: "auth_strategy", Default: strategyNone, Help: "how callers prove who they are: keystone, http_basic, or noauth on loopback", Check: config.OneOf(strategyNone, strategyBasic, strategyKeystone)},
		{Section: "DEFAULT", Name: "http_basic_auth_user_file", Default: "/etc/neutron/htpasswd", Help: "users of http_basic, as htpasswd -B writes them"},
		{Section: "oslo_policy", Name: "policy_file", Help: "what callers may do where it differs from the defaults, which `neutrino server policy` prints; by default policy.yaml beside a configuration file, where there is one"},
		{Section: "oslo_policy", Name: "policy_dirs", Default: "policy.d", Help: "directories of such files, which are read after it"},
		{Section: identity, Name: "auth_url", Help: "the identity service, for auth_strategy = keystone"},
		{Section: identity, Name: "auth_type", Old: "auth_plugin", Default: "password", Help: "how the service account proves who it is", Check: byPassword},
		{Section: identity, Name: "www_authenticate_uri", Old: "auth_uri", Help: "the identity service as clients reach it"},
		{Section: identity, Name: "username", Default: "neutron", Help: "service account that asks about tokens"},
		{Section: identity, Name: "password", Help: "password of the service account"},
		{Section: identity, Name: "project_name", Old: "tenant_name", Default: "service", Help: "project of the service account"},
		{Section: identity, Name: "user_domain_name", Default: "Default", Help: "domain of the service account"},
		{Section: identity, Name: "project_domain_name", Default: "Default", Help: "domain of the service account's project"},
		{Section: identity, Name: "user_domain_id", Help: "the same by its ID, which wins"},
		{Section: identity, Name: "project_domain_id", Help: "the same by its ID, which wins"},
		{Section: identity, Name: "token_cache_time", Default: "300", Help: "seconds for which a token is believed without asking again, at most 300", Check: config.Number},
		{Section: identity, Name: "service_token_roles", Default: "service", Help: "roles that make a service token"},
		{Section: identity, Name: "service_token_roles_required", Default: "false", Help: "refuse service tokens without such a role", Check: config.Boolean},
		{Section: identity, Name: "cafile", Help: "certificates to trust instead of the system's"},
		{Section: identity, Name: "insecure", Default: "false", Help: "trust any certificate of the identity service", Check: config.Boolean},
		{Section: identity, Name: "region_name", Help: "region of the identity endpoint to ask"},
		{Section: identity, Name: "interface", Help: "which identity endpoint of the catalog to ask: internal, public or admin; none for auth_url, or the internal one of region_name", Check: config.OneOf("", "internal", "public", "admin")},
		{Section: identity, Name: "http_connect_timeout", Default: "10", Help: "seconds of one attempt to reach the identity service", Check: config.Number},
		{Section: identity, Name: "http_request_max_retries", Default: "3", Help: "attempts to reach the identity service after the first", Check: config.Number},
	}
}

// byPassword accepts the one way in which the service account can log in.
func byPassword(s string) error {
	if s == "password" || s == "v3password" {
		return nil
	}
	return errors.New("the service account logs in by password only: write password, and set username, password, project_name and the domains")
}

// authenticator is what [DEFAULT] auth_strategy names.
func authenticator(v *config.Values) (auth.Authenticator, error) {
	const identity = "keystone_authtoken"
	switch v.String("DEFAULT", "auth_strategy") {
	case strategyBasic:
		return auth.Basic(v.String("DEFAULT", "http_basic_auth_user_file"))
	case strategyKeystone:
		if v.String(identity, "auth_url") == "" {
			return nil, fmt.Errorf("[keystone_authtoken] auth_url is not set, and auth_strategy = keystone needs it; write http://<host>:5000/v3")
		}
		return auth.Keystone(auth.KeystoneOptions{
			AuthURL: v.String(identity, "auth_url"), WWWAuthenticateURI: v.String(identity, "www_authenticate_uri"),
			Username: v.String(identity, "username"), Password: v.String(identity, "password"),
			ProjectName:    v.String(identity, "project_name"),
			UserDomainName: v.String(identity, "user_domain_name"), ProjectDomainName: v.String(identity, "project_domain_name"),
			UserDomainID: v.String(identity, "user_domain_id"), ProjectDomainID: v.String(identity, "project_domain_id"),
			TokenCacheTime:            cacheTime(v.Int(identity, "token_cache_time")),
			ServiceTokenRoles:         v.List(identity, "service_token_roles"),
			ServiceTokenRolesRequired: v.Bool(identity, "service_token_roles_required"),
			CAFile:                    v.String(identity, "cafile"), Insecure: v.Bool(identity, "insecure"),
			Region: v.String(identity, "region_name"), Interface: v.String(identity, "interface"),
			Timeout: time.Duration(v.Int(identity, "http_connect_timeout")) * time.Second,
			Retries: cmp.Or(v.Int(identity, "http_request_max_retries"), -1), // 0 is none
		})
	}
	return auth.NoAuth(api.DefaultProject), nil
}

// cacheTime is token_cache_time as a duration: 0 seconds is no cache.
func cacheTime(seconds int) time.Duration {
	if seconds == 0 {
		return -1
	}
	return time.Duration(seconds) * time.Second
}

// policies are what callers may do: the files that oslo.policy would read. Their
// rules may be what keeps somebody out, so that none is passed over. As there, a file
// that does not exist is none, but one that had rules when the server last ran is
// missed: state_path remembers them.
func policies(v *config.Values, log *slog.Logger) (*auth.Policies, error) {
	var paths []string
	add := func(name string) bool {
		path, found := v.Beside(name)
		if _, err := os.Stat(path); !found || err != nil {
			return false
		}
		paths = append(paths, path)
		return true
	}
	file := v.String("oslo_policy", "policy_file")
	if file == "" && !add("policy.yaml") {
		add("policy.json")
	} else if file != "" && !add(file) {
		log.Warn("there is no such policy file, the defaults are in force; start again when there is one", "policy_file", file)
	}
	for _, dir := range v.All("oslo_policy", "policy_dirs") {
		add(dir)
	}
	if len(paths) > 0 {
		log.Info("policy is read", "files", paths)
	}
	return auth.KeepPolicies(paths, filepath.Join(v.String("DEFAULT", "state_path"), "policy.json"), log)
}

// doorOf is who may send requests at all. A browser on this machine reaches the API
// for whatever page it shows, and adds the password that it remembers; a token it
// does not add.
func doorOf(v *config.Values) *door.Door {
	names := v.List("neutrino", "api_names")
	if u, err := url.Parse(v.String("DEFAULT", "network_link_prefix")); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	}
	switch v.String("DEFAULT", "auth_strategy") {
	case strategyNone:
		return &door.Door{CheckHost: true, Names: names}
	case strategyBasic:
		return &door.Door{Names: names}
	}
	return nil
}

// checkExposure refuses to listen where strangers are, when nobody proves who he
// is.
func checkExposure(v *config.Values, listeners []net.Listener) error {
	if v.Bool("neutrino", allowOpenAPI) || v.String("DEFAULT", "auth_strategy") != strategyNone {
		return nil
	}
	for _, ln := range listeners {
		if tcp, ok := ln.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
			return fmt.Errorf("[DEFAULT] bind_host: %s is not a loopback address, and auth_strategy = noauth makes every caller an administrator; "+
				"bind to 127.0.0.1, set auth_strategy = keystone or http_basic, or set [neutrino] %s = true", tcp, allowOpenAPI)
		}
	}
	return nil
}

// feedExposure is where the feed may be offered or looked for.
func feedExposure(v *config.Values) feed.Exposure {
	if v.Bool("neutrino", allowOpenFeed) {
		return feed.Anywhere
	}
	return feed.Local
}

// feedError is an error about the address in an option of [neutrino], with the remedy.
func feedError(option string, err error) error {
	if !errors.Is(err, feed.ErrExposed) {
		return err
	}
	return fmt.Errorf("[neutrino] %s: %w; write unix:/path or a loopback address, or set [neutrino] %s = true, "+
		"and let nobody but the hosts of the cloud reach it", option, err, allowOpenFeed)
}

// oneDoor refuses the option that opened the API and the feed with one word.
func oneDoor() config.Fixed {
	return config.Fixed{Section: "neutrino", Name: "allow_unauthenticated", Check: must(false,
		"it opened two doors at once: write "+allowOpenAPI+" for the API without authentication beyond loopback, and "+
			allowOpenFeed+" for the feed between server and agents")}
}

func policyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "policy",
		Short: "Print the default policy as a policy.yaml with every rule commented out",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), auth.PolicySample())
			return err
		},
	}
}
