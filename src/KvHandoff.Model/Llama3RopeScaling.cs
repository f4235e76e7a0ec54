using System.Globalization;

namespace KvHandoff.Model;

/// <summary>
/// The frequency scaling of Llama 3.1 and later: long wavelengths are divided by <paramref name="Factor"/>, short ones are kept, and
/// those between are blended.
/// </summary>
/// <param name="Factor">Divisor of the long wavelengths, 1 or more.</param>
/// <param name="LowFrequencyFactor">Wavelengths above original context / this are scaled fully.</param>
/// <param name="HighFrequencyFactor">Wavelengths below original context / this are kept; greater than the low factor.</param>
/// <param name="OriginalMaxPositions">Context that the model was first trained on, in tokens.</param>
public sealed record Llama3RopeScaling(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, int OriginalMaxPositions)
{
    /// <summary>The scaled form of one inverse frequency (radians per token).</summary>
    public double Scale(double inverseFrequency)
    {
        double wavelength = 2 * Math.PI / inverseFrequency;
        if (wavelength < OriginalMaxPositions / HighFrequencyFactor) return inverseFrequency;
        if (wavelength > OriginalMaxPositions / LowFrequencyFactor) return inverseFrequency / Factor;
        double smooth = (OriginalMaxPositions / wavelength - LowFrequencyFactor) / (HighFrequencyFactor - LowFrequencyFactor);
        return (1 - smooth) * inverseFrequency / Factor + smooth * inverseFrequency;
    }

    /// <summary>Name and parameters, as a cache's identity carries them.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture,
        $"llama3 factor={Factor:R} low={LowFrequencyFactor:R} high={HighFrequencyFactor:R} original={OriginalMaxPositions}");
}
