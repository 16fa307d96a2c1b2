// Called in a page: what of it cannot be read or used, one line each.
() => {
  const faults = [];
  const root = document.documentElement;
  const name = (element) => `${element.localName}.${element.className} "${element.textContent.trim().slice(0, 30)}"`;
  if (root.scrollWidth > root.clientWidth) faults.push(`is ${root.scrollWidth} px wide`);
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
    if (!field.labels.length) faults.push(`${field.name} has no label`);
  }
  for (const control of document.querySelectorAll("a:not(.skip), button, summary")) {
    const { display, textOverflow } = getComputedStyle(control);
    const isWhole = display === "inline" || textOverflow === "ellipsis" || !control.checkVisibility();
    if (!isWhole && control.scrollWidth > control.clientWidth + 1) faults.push(`${name(control)} is cut`);
  }

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => below.map((value, n) => value + ((top[n] - value) * top[3]) / 255);
  const ground = (element) => {
    const below = element.parentElement ? ground(element.parentElement) : [255, 255, 255];
    return over(channels(getComputedStyle(element).backgroundColor), below);
  };
  const luminance = (color) => {
    const [red, green, blue] = color.map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  // WCAG 2, level AA.
  const isPale = (element) => {
    const { color, fontSize } = getComputedStyle(element);
    const below = ground(element);
    const lights = [luminance(below), luminance(over(channels(color), below))];
    const contrast = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
    return contrast < (parseFloat(fontSize) >= 24 ? 3 : 4.5);
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  for (const element of document.querySelectorAll("body *:not(svg *)")) {
    const isRead = [...element.childNodes].some(isText) && element.checkVisibility();
    if (isRead && !element.closest("[aria-hidden], .hidden") && isPale(element)) {
      faults.push(`${name(element)} is hard to read`);
    }
  }
  return faults;
}
