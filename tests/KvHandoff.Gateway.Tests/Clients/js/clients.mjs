// The clients from npm against a gateway: node clients.mjs BASE_URL SCRIPTED_URL KEY PROMPT EXPECTED
// Prints one line per check, and ends with exit code 1 at the first that fails.
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import Cerebras from '@cerebras/cerebras_cloud_sdk';

const [base, scripted, key, prompt, expected] = process.argv.slice(2);
const model = 'llama-bytes-5m';
const messages = [{ role: 'user', content: prompt }];
const asked = { model, messages, max_tokens: 40, temperature: 0 };

async function check(name, run) {
  try {
    await run();
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`FAILED ${name}: ${error.stack ?? error}`);
    process.exit(1);
  }
}

async function streamed(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const contents = chunks.map(c => c.choices?.[0]?.delta?.content).filter(c => c);
  return { chunks, contents, text: contents.join(''), last: chunks.at(-1) };
}

const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'any-key' });
const cerebras = new Cerebras({ baseURL: base, apiKey: 'any-key' });

for (const [name, client, errors] of [['openai', openai, OpenAI], ['cerebras', cerebras, Cerebras]]) {
  await check(`${name}: chat`, async () => {
    const answer = await client.chat.completions.create(asked);
    assert.equal(answer.choices[0].message.content, expected);
    assert.equal(answer.choices[0].finish_reason, 'length');
    assert.equal(answer.usage.completion_tokens, 40);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + 40);
    assert.ok(answer.time_info.total_time >= answer.time_info.prompt_time + answer.time_info.completion_time + answer.time_info.queue_time);
  });
  await check(`${name}: stream`, async () => {
    const { contents, text, last, chunks } = await streamed(await client.chat.completions.create({ ...asked, stream: true }));
    assert.equal(text, expected);
    assert.ok(contents.length > 1);
    assert.equal(chunks[0].choices[0].delta.role, 'assistant');
    assert.equal(last.usage.completion_tokens, 40);
    for (const part of ['queue_time', 'prompt_time', 'completion_time', 'total_time', 'handoff_time']) assert.ok(last.time_info[part] >= 0, part);
    assert.ok(last.time_info.completion_time > 0);
    assert.equal(last.object, 'chat.completion.chunk');
    assert.ok(last.system_fingerprint);
  });
  await check(`${name}: text completion`, async () => {
    const answer = await client.completions.create({ model, prompt, max_tokens: 40, temperature: 0 });
    assert.equal(answer.choices[0].text, expected);
  });
  await check(`${name}: models`, async () => {
    const page = await client.models.list();
    assert.ok(page.data.some(m => m.id === model));
    assert.equal((await client.models.retrieve(model)).id, model);
  });
  await check(`${name}: typed errors`, async () => {
    await assert.rejects(client.chat.completions.create({ ...asked, model: 'nobody' }), e => e instanceof errors.NotFoundError && e.status === 404 && /nobody/.test(e.message));
    await assert.rejects(client.chat.completions.create({ ...asked, max_tokens: 9000 }), e => e instanceof errors.BadRequestError && /limit is/.test(e.message));
    await assert.rejects(client.chat.completions.create({ ...asked, temperature: 'hot' }), e => e instanceof errors.UnprocessableEntityError);
  });
}

const settings = { openai: baseURL => ({ baseURL: `${baseURL}/v1` }), cerebras: baseURL => ({ baseURL, warmTCPConnection: false }) };
for (const [name, Client] of [['openai', OpenAI], ['cerebras', Cerebras]]) {
  const question = { model: 'scripted', messages: [{ role: 'user', content: 'hello' }], max_tokens: 16 };
  await check(`${name}: a wrong key`, () => assert.rejects(new Client({ ...settings[name](scripted), apiKey: 'a-wrong-key' }).chat.completions.create(question), e => e instanceof Client.AuthenticationError));
  await check(`${name}: 429 at once without retries, and through with them`, async () => {
    const client = new Client({ ...settings[name](scripted), apiKey: `${key}-${name}` });
    // The first answer overdraws the account; its 429 says how long to wait.
    await client.chat.completions.create({ ...question, messages: [{ role: 'user', content: 'overdraw' }] });
    await assert.rejects(client.chat.completions.create(question, { maxRetries: 0 }), e => e instanceof Client.RateLimitError && e.status === 429 && Number(e.headers.get?.('retry-after') ?? e.headers['retry-after']) >= 1);
    const answer = await client.chat.completions.create(question, { maxRetries: 5 });
    assert.equal(answer.choices[0].message.content, 'And it came to pass.');
  });
  await check(`${name}: an error in the middle of a stream`, async () => {
    const client = new Client({ ...settings[name](scripted), apiKey: `${key}-${name}`, maxRetries: 5 });
    await assert.rejects(async () => streamed(await client.chat.completions.create({ ...question, messages: [{ role: 'user', content: 'break' }], stream: true })), e => e instanceof Client.APIError);
  });
}
