using KvHandoff.Layout;
using KvHandoff.Model;
using KvHandoff.Session;
using KvHandoff.Wire;

// single MODEL PROMPT-FILE TOKENS          prefill and decode in this process
// decode MODEL ENDPOINT TOKENS             takes one handoff and goes on with it; prints its endpoint first
// prefill MODEL ENDPOINT PROMPT-FILE       computes a prompt and hands it over
if (args.Length != 4)
{
    Console.Error.WriteLine("single MODEL PROMPT-FILE TOKENS | decode MODEL ENDPOINT TOKENS | prefill MODEL ENDPOINT PROMPT-FILE");
    return 2;
}

using LlamaModel model = LlamaModel.Load(args[1]);
var runner = new LlamaRunner(model);
using PagedKvCache cache = PagedKvCache.Allocate(model.CreateLayout(), 8192);
return args[0] switch
{
    "single" => Single(Prompt(args[2]), int.Parse(args[3])),
    "decode" => await DecodeAsync(args[2], int.Parse(args[3])),
    "prefill" => await PrefillAsync(args[2], Prompt(args[3])),
    _ => throw new ArgumentException($"'{args[0]}' is not one of single, decode, prefill."),
};

int Single(int[] prompt, int count)
{
    using KvSequence sequence = cache.CreateSequence();
    Print(Continue(sequence, GreedySampler.Sample(runner.Prefill(sequence, prompt)), count));
    return 0;
}

async Task<int> DecodeAsync(string endpoint, int count)
{
    await using KvReceiver receiver = await KvReceiver.ListenAsync(endpoint, cache, new KvReceiverOptions { Name = "decode" });
    Console.WriteLine(receiver.Endpoint);
    using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
    await foreach (IncomingHandoff incoming in receiver.IncomingAsync(patience.Token))
    {
        await using IncomingHandoff landing = incoming;
        using KvSequence sequence = await landing.CommittedAsync(patience.Token);
        if (runner.PrefilledTokens != 0) return 1;
        Print(Continue(sequence, landing.Manifest.FirstToken, count));
        return 0;
    }

    return 1;
}

async Task<int> PrefillAsync(string endpoint, int[] prompt)
{
    await using KvSender sender = await KvSender.ConnectAsync(endpoint, cache, new KvSenderOptions { Name = "prefill" });
    using KvSequence sequence = cache.CreateSequence();
    if (!sequence.TryReserve(prompt.Length)) return 1;
    await using OutgoingHandoff outgoing = await sender.OfferAsync(sequence, new HandoffOffer { TotalTokens = prompt.Length });
    int first = GreedySampler.Sample(runner.Prefill(sequence, prompt, layer => outgoing.Publish(layer, prompt.Length)));
    await outgoing.CommitAsync(new HandoffManifest([.. prompt], prompt.Length, first));
    return 0;
}

int[] Continue(KvSequence sequence, int first, int count)
{
    var tokens = new int[count];
    tokens[0] = first;
    for (int i = 1; i < count; i++) tokens[i] = GreedySampler.Sample(runner.Decode(sequence, tokens[i - 1]));
    return tokens;
}

static int[] Prompt(string file) => ByteTokenizer.Encode(File.ReadAllBytes(file));

static void Print(int[] tokens) => Console.WriteLine("tokens " + string.Join(' ', tokens));
