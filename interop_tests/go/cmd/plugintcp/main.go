// Command plugintcp serves Probe and KV over TCP. go-plugin's Serve always takes unix sockets on Linux, so
// this program opens the listener and writes the handshake line itself and leaves the rest to
// plugin.GRPCServer.
//
// Flags: -cookie-key, -cookie-value and -versions, as in cmd/plugin. AutoMTLS where the host asks for it; no
// multiplexing.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-plugin"

	"goplugin/interop/internal/probe"
	"goplugin/interop/internal/settings"
)

func main() {
	if err := serve(settings.Flags("INTEROP_PLUGIN", "hello")()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(chosen settings.Settings) error {
	if os.Getenv(chosen.Cookie.MagicCookieKey) != chosen.Cookie.MagicCookieValue {
		return errors.New("this is a plugin: start it from its host")
	}
	listener, err := listen()
	if err != nil {
		return err
	}
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, stderrWriter, err := os.Pipe()
	if err != nil {
		return err
	}
	config, certificate, err := secured(os.Getenv("PLUGIN_CLIENT_CERT"))
	if err != nil {
		return err
	}
	server := &plugin.GRPCServer{
		Plugins: probe.Plugins(settings.Logger(probe.PluginName)),
		Server:  plugin.DefaultGRPCServer,
		TLS:     config,
		DoneCh:  make(chan struct{}),
		Stdout:  stdout,
		Stderr:  stderr,
	}
	if err := server.Init(); err != nil {
		return err
	}

	version := negotiate(chosen.Versions, os.Getenv("PLUGIN_PROTOCOL_VERSIONS"))
	core, address := plugin.CoreProtocolVersion, listener.Addr()
	fmt.Printf("%d|%d|tcp|%s|%s|%s\n", core, version, address, plugin.ProtocolGRPC, certificate)
	os.Stdout, os.Stderr = stdoutWriter, stderrWriter
	server.Serve(listener)
	return nil
}

// secured returns what AutoMTLS needs, and the certificate for the handshake line; nothing without the host's.
func secured(client string) (*tls.Config, string, error) {
	if client == "" {
		return nil, "", nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(client)) {
		return nil, "", errors.New("PLUGIN_CLIENT_CERT holds no certificate")
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		RootCAs:      pool,
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS12,
	}
	return config, base64.RawStdEncoding.EncodeToString(der), nil
}

// listen takes the first free port from PLUGIN_MIN_PORT to PLUGIN_MAX_PORT, or any port without them.
func listen() (net.Listener, error) {
	first, err := port("PLUGIN_MIN_PORT")
	if err != nil {
		return nil, err
	}
	last, err := port("PLUGIN_MAX_PORT")
	if err != nil {
		return nil, err
	}
	for number := first; number <= last; number++ {
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", number))
		if err == nil {
			return listener, nil
		}
	}
	return nil, fmt.Errorf("no free port from PLUGIN_MIN_PORT %d to PLUGIN_MAX_PORT %d", first, last)
}

func port(variable string) (int, error) {
	text := os.Getenv(variable)
	if text == "" {
		return 0, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", variable, err)
	}
	return number, nil
}

// negotiate takes the highest version that the host offers too, else our lowest, as plugin.Serve does.
func negotiate(served []int, offered string) int {
	offers := map[string]bool{}
	for _, offer := range strings.Split(offered, ",") {
		offers[offer] = true
	}
	lowest, best := served[0], -1
	for _, version := range served {
		lowest = min(lowest, version)
		if offers[strconv.Itoa(version)] {
			best = max(best, version)
		}
	}
	if best < 0 {
		return lowest
	}
	return best
}
