// Package settings reads what the command line of each of our plugins decides: its cookie and its versions.
package settings

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// Settings are a plugin's cookie and the protocol versions that it serves.
type Settings struct {
	Cookie   plugin.HandshakeConfig
	Versions []int
}

// Flags declares -cookie-key, -cookie-value and -versions. The environment (INTEROP_COOKIE_KEY,
// INTEROP_COOKIE_VALUE, INTEROP_VERSIONS) overrides the defaults. Call what it returns once the program has
// declared its own flags.
func Flags(cookieKey, cookieValue string) (parse func() Settings) {
	key := option("cookie-key", "INTEROP_COOKIE_KEY", cookieKey, "the magic cookie's name")
	value := option("cookie-value", "INTEROP_COOKIE_VALUE", cookieValue, "the magic cookie's value")
	versions := option("versions", "INTEROP_VERSIONS", "1", "protocol versions served, as 1,2")
	return func() Settings {
		flag.Parse()
		settings := Settings{Cookie: plugin.HandshakeConfig{MagicCookieKey: *key, MagicCookieValue: *value}}
		for _, text := range strings.Split(*versions, ",") {
			version, err := strconv.Atoi(text)
			if err != nil {
				fmt.Fprintf(os.Stderr, "versions: %v\n", err)
				os.Exit(2)
			}
			settings.Versions = append(settings.Versions, version)
		}
		return settings
	}
}

// Serve serves the same plugins under each version.
func (s Settings) Serve(plugins plugin.PluginSet) map[int]plugin.PluginSet {
	served := map[int]plugin.PluginSet{}
	for _, version := range s.Versions {
		served[version] = plugins
	}
	return served
}

// Logger writes hclog's JSON to the process's real stderr, where the host reads it.
func Logger(name string) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: name, Level: hclog.Trace, Output: os.Stderr, JSONFormat: true,
	})
}

func option(name, variable, fallback, usage string) *string {
	if value, set := os.LookupEnv(variable); set {
		fallback = value
	}
	return flag.String(name, fallback, usage)
}
