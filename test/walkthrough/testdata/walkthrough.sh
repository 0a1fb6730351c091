curl -X POST http://localhost:8001/services --data "name=ai-proxy" --data "url=http://localhost:32000"
curl -X GET  http://localhost:8001/services/ai-proxy
curl -X POST http://localhost:8001/services/ai-proxy/routes --data "name=openai-chat" --data "paths[]=~/openai-chat$"
curl -X GET  http://localhost:8001/routes/openai-chat
curl -X POST http://localhost:8001/routes/openai-chat/plugins --data "name=ai-proxy" \
  --data "config.route_type=llm/v1/chat" --data "config.auth.header_name=Authorization" \
  --data "config.auth.header_value=Bearer NONE" --data "config.model.provider=openai" \
  --data "config.model.name=gpt-4-32k" --data "config.model.options.max_tokens=512" \
  --data "config.model.options.upstream_url=http://127.0.0.1:9997/v1/chat/completions" \
  --data "config.model.options.temperature=1.0"
curl -X GET  http://localhost:8001/plugins/ai-proxy
curl -X POST http://localhost:8001/routes/openai-chat/plugins --data "name=file-log" --data "config.path=/tmp/log.txt"
curl -X POST http://localhost:8000/openai-chat -H 'Content-Type: application/json' --data-raw \
  '{"messages":[{"role":"system","content":"你是一名数学家。"},{"role":"user","content":"1 + 1 = ?"}]}'
curl -X DELETE http://localhost:8001/plugins/ai-proxy
curl -X DELETE http://localhost:8001/routes/openai-chat
curl -X DELETE http://localhost:8001/services/ai-proxy
