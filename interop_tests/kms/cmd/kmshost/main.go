// Command kmshost is the smallest host of HashiCorp's go-kms-wrapping: it lets a wrapper plugin encrypt and decrypt.
//
//	kmshost PLUGIN TEXT
//
// The plugin is started as Vault and Boundary start theirs, under AutoMTLS. What it encrypted, what it decrypted
// again and how it answers a forged ciphertext are printed as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	gkwp "github.com/hashicorp/go-kms-wrapping/plugin/v2"
	wrapping "github.com/hashicorp/go-kms-wrapping/v2"
)

type report struct {
	Type       string `json:"type"`
	KeyID      string `json:"key_id"`
	Ciphertext []byte `json:"ciphertext"`
	Decrypted  string `json:"decrypted"`
	Forged     string `json:"forged"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: kmshost PLUGIN TEXT")
		os.Exit(2)
	}
	found, err := use(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func use(plugin, text string) (report, error) {
	var found report
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	client, err := gkwp.NewWrapperClient(plugin)
	if err != nil {
		return found, err
	}
	defer client.Kill()
	protocol, err := client.Client()
	if err != nil {
		return found, err
	}
	dispensed, err := protocol.Dispense("wrapping")
	if err != nil {
		return found, err
	}
	wrapper := dispensed.(wrapping.Wrapper)
	kind, err := wrapper.Type(ctx)
	if err != nil {
		return found, err
	}
	aad := wrapping.WithAad([]byte("kmshost"))
	blob, err := wrapper.Encrypt(ctx, []byte(text), aad)
	if err != nil {
		return found, err
	}
	plain, err := wrapper.Decrypt(ctx, blob, aad)
	if err != nil {
		return found, err
	}
	found = report{Type: kind.String(), KeyID: blob.KeyInfo.KeyId, Ciphertext: blob.Ciphertext, Decrypted: string(plain)}
	forged := &wrapping.BlobInfo{Ciphertext: append([]byte{}, blob.Ciphertext...)}
	forged.Ciphertext[len(forged.Ciphertext)-1] ^= 1
	if _, err := wrapper.Decrypt(ctx, forged, aad); err != nil {
		found.Forged = err.Error()
	}
	return found, nil
}
