#!/usr/bin/env sh
# Ask a text-only model about a picture with curl. Set PROXY_URL (such as http://127.0.0.1:4000) and PROXY_KEY.
set -eu
here=$(dirname "$0")
model=${MODEL:-deepseek-chat}

# curl reads the body from standard input, because a picture is too long for a command line.
curl --silent --show-error --fail-with-body --include "$PROXY_URL/v1/chat/completions" \
  --header "Authorization: Bearer $PROXY_KEY" --header "Content-Type: application/json" --data-binary @- <<JSON
{
  "model": "$model-ocr",
  "messages": [{"role": "user", "content": [
    {"type": "text", "text": "What is the total?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,$(base64 < "$here/receipt.png" | tr -d '\n')"}}
  ]}]
}
JSON
